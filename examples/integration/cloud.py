#!/usr/bin/env python3
"""A service for mode D: keeps what it gets in cloud.jsonl, each id once. python3 cloud.py [PORT]"""
import http.server
import json
import sys

KEPT = {}


class Ingest(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        entry = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if entry["id"] not in KEPT:
            KEPT[entry["id"]] = entry
            with open("cloud.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            print(entry["reading"]["topic"], entry["reading"]["value"], flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    http.server.HTTPServer(("127.0.0.1", port), Ingest).serve_forever()
