#!/usr/bin/env python3
"""Makes the seeds under fuzz/corpus from the golden vectors.

    fuzz/seed.py [VECTORS]      default: the newest crates/protocol/tests/vectors/wire-v*.json

Run it again when a format changed. Files named found-* are kept: they are inputs that broke something once. The numbers
of the decoders are those of fuzz/src/decode.rs; the layouts of dag_model, ledger_model, verify_receipt and mqtt_sn those of
their files in fuzz/src.
"""
import json
import random
import re
import struct
import sys
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
VECTORS = FUZZ.parent / "crates/protocol/tests/vectors"
FILE_BYTES_MAX = 4096

(MESSAGE, MILESTONE, FINALIZATION, BATCH, READING, BODY, VALUE, NAME, DEVICE_TOPIC, ID, PUBLIC_KEY, SIGNATURE, NETWORK_ID,
 ACCOUNT, TOTALS, RECEIPT_JSON, GENESIS_JSON, TOPIC_TEXT, DEVICE_TOPIC_TEXT, NAME_TEXT, READING_NAME_TEXT, ID_TEXT,
 PUBLIC_KEY_TEXT, SIGNATURE_TEXT, NETWORK_ID_TEXT, HEAD, ORDER, EVIDENCE, PARAMETERS, HANDOVER, ADDRESS, WALLET, VALIDATOR,
 CANDIDATES, EPOCH, DELEGATION, UNBONDING, VOID_IDS, ENVELOPE, DEVICE_NAME, CREDENTIAL, SITE, DEVICE, DEVICE_KEY, DEVICE_NAME_TEXT,
 THING, DEVICE_REQUEST, RECORD, REQUEST, CERTIFICATE, REJECTION, TERMS, WALLET_PARAMETERS, PURSE, COINS, TALLY, EARNINGS, SERVICE,
 PURCHASE, FAREWELLS) = range(60)
RETAINED_FULL = struct.pack(">Q", 1 << 63)


def newest():
    """The vectors of the highest version."""
    found = {int(re.search(r"wire-v(\d+)\.json$", p.name)[1]): p for p in VECTORS.glob("wire-v*.json")}
    if not found:
        sys.exit(f"no wire-v*.json in {VECTORS}")
    return found[max(found)]


def name(text):
    """A name's encoding."""
    data = text.encode()
    return bytes([len(data)]) + data


def decode_seeds(vectors):
    """One or more inputs of each decoder."""
    seeds = {}

    def add(what, decoder, data):
        seeds[what] = bytes([decoder]) + (data.encode() if isinstance(data, str) else data)

    def from_hex(what, decoder, entry):
        add(what, decoder, bytes.fromhex(entry["bytes"]))

    for part, decoder in (("messages", MESSAGE), ("milestones", MILESTONE), ("readings", READING)):
        for n, entry in enumerate(vectors[part]):
            from_hex(f"{part[:-1]}-{n}", decoder, entry)
    from_hex("finalization", FINALIZATION, vectors["finalization"])
    from_hex("batch", BATCH, vectors["batch"])
    add("body-data", BODY, b"\x01\x05hello")
    span = struct.pack(">QQ", 1_750_000_000_123_456, 1_750_000_002_123_456)
    add("body-readings", BODY, b"\x00" + bytes(range(32)) + b"\x05\xcf\x01" + span + bytes(range(32, 64)) + b"\x01" + b"\x07" * 32 + b"\x02")
    add("value-number", VALUE, b"\x00" + struct.pack(">d", -3.25))
    add("value-boolean", VALUE, b"\x01\x01")
    add("value-text", VALUE, b"\x02\x06locked")
    add("value-bytes", VALUE, b"\x03\x03\x00\xff\x07")
    add("refused-value-negative-zero", VALUE, b"\x00" + struct.pack(">d", -0.0))
    add("name", NAME, name("süd"))
    add("refused-name-dollar", NAME, name("$sys"))
    add("device-topic", DEVICE_TOPIC, name("plant") + name("meter-1") + b"\x00" + name("power"))
    add("id", ID, bytes(range(32)))
    add("public-key", PUBLIC_KEY, bytes.fromhex(json.loads(vectors["genesis"]["json"])["committee"][0]["key"]))
    add("signature", SIGNATURE, bytes(range(64)))
    add("network-id", NETWORK_ID, bytes.fromhex(vectors["genesis"]["network"]))
    add("account", ACCOUNT, b"\x83\x01" + bytes(range(32)) + b"\x83\x01\xd2\x09\x00\x05\x02")
    add("totals", TOTALS, b"\x83\x01\xd2\x09\xa0\x1f\x07")
    add("refused-totals-overlong", TOTALS, b"\x80\x00\x01")
    for n, part in enumerate(("receipt", "anchored_receipt", "handed_over_receipt")):
        add(f"receipt-json-{n}", RECEIPT_JSON, vectors[part])
    add("genesis-json", GENESIS_JSON, vectors["genesis"]["json"])
    x = "plant/meter-1/sense/power"
    topics = (f"root/device/{x}", f"root/fog/{x}", "root/fog/plant/rejected", "root/node/plant/tangle", "root/node/plant/active",
              "root/cache/plant/pending")
    for n, topic in enumerate(topics):
        add(f"topic-text-{n}", TOPIC_TEXT, topic)
    add("device-topic-text", DEVICE_TOPIC_TEXT, "plant/valve-7/act/open")
    add("name-text", NAME_TEXT, "süd")
    add("reading-name-text", READING_NAME_TEXT, f"{x}@1750000000123456")
    add("refused-reading-name-leading-zero", READING_NAME_TEXT, f"{x}@01")
    add("id-text", ID_TEXT, bytes(range(32)).hex())
    add("public-key-text", PUBLIC_KEY_TEXT, json.loads(vectors["genesis"]["json"])["committee"][0]["key"])
    add("signature-text", SIGNATURE_TEXT, bytes(range(64)).hex())
    add("network-id-text", NETWORK_ID_TEXT, vectors["genesis"]["network"])
    for n, message in enumerate(vectors["messages"]):
        add(f"head-{n}", HEAD, bytes.fromhex(message["head"]))
    for part, decoder in (("orders", ORDER), ("evidence", EVIDENCE)):
        for n, entry in enumerate(vectors[part]):
            from_hex(f"{part}-{n}", decoder, entry)
    add("parameters", PARAMETERS, b"\x80\x08\x00\x10\xe8\x07\x02\x32\xa0\x1f\x00")
    add("refused-parameters-slash-all-and-more", PARAMETERS, b"\x80\x08\x00\x10\xe8\x07\x02\x65\xa0\x1f\x00")
    add("handover", HANDOVER, bytes.fromhex(vectors["handover"]))
    keys = b"".join(sorted(bytes.fromhex(member["key"]) for member in json.loads(vectors["genesis"]["json"])["committee"]))
    count = bytes([len(keys) // 32])
    add("address", ADDRESS, name("node-4.example.org:7401"))
    add("refused-address-port", ADDRESS, name("node-4.example.org:0x1"))
    add("wallet", WALLET, bytes(range(32)) + b"\xe8\x07")
    add("validator", VALIDATOR, name("v1") + b"\x01" + name("[::1]:7401") + b"\xe8\x07\x0a" + RETAINED_FULL + b"\x00\x01")
    add("candidates", CANDIDATES, count + keys)
    add("epoch", EPOCH, b"\x05" + count + keys)
    add("refused-epoch-key-twice", EPOCH, b"\x05\x02" + keys[:32] * 2)
    for part, decoder in (("device_orders", ORDER), ("signed_readings", READING)):
        for n, entry in enumerate(vectors[part]):
            from_hex(f"{part.replace('_', '-')}-{n}", decoder, entry)
    from_hex("signed-batch", BATCH, vectors["signed_batch"])
    add("receipt-json-signed", RECEIPT_JSON, vectors["signed_receipt"])
    for n, envelope in enumerate(vectors["envelopes"]):
        add(f"envelope-{n}", ENVELOPE, bytes.fromhex(envelope))
    add("refused-envelope-magic", ENVELOPE, b"\xf7wx" + bytes.fromhex(vectors["envelopes"][0])[3:])
    add("device-name", DEVICE_NAME, name("plant") + name("meter-1"))
    add("device-name-text", DEVICE_NAME_TEXT, "plant/meter-1")
    add("refused-device-name-text", DEVICE_NAME_TEXT, "plant//1")
    add("credential", CREDENTIAL, bytes(range(96)))
    add("site", SITE, bytes(range(32)) + b"\x02" + keys[:64] + b"\x07\xac\x02")
    add("refused-site-gateway-twice", SITE, bytes(range(32)) + b"\x02" + keys[:32] * 2 + b"\x07\xac\x02")
    key, thing = b"\x01" + bytes(range(32, 64)), b"\x01" + bytes(range(64, 96))
    add("device-signer", DEVICE, bytes(range(32)) + b"\x02" + key + b"\x03\xac\x02\x00" + thing + b"\x05\xac\x02")
    add("device-unsigned-revoked", DEVICE, bytes(range(32)) + b"\x01\x00\x00\x05\x01\x00\x05\x09")
    add("refused-device-signer-without-key", DEVICE, bytes(range(32)) + b"\x02\x00\x00\x05\x00\x00\x05\x09")
    add("device-key", DEVICE_KEY, name("plant") + name("meter-1") + b"\x05\x01\xac\x02")
    described = {"@context": "https://www.w3.org/2022/wot/td/v1.1", "title": "Meter", "security": "none",
                 "securityDefinitions": {"none": {"scheme": "nosec"}},
                 "properties": {"power": {"type": "number", "forms": [{"href": "mqtt://plant/meter-1", "op": "readproperty"}]}}}
    add("thing", THING, json.dumps(described))
    add("refused-thing-without-title", THING, json.dumps({k: v for k, v in described.items() if k != "title"}))
    exchange = json.loads((VECTORS / "exchange-v1.json").read_text())
    for n, body in enumerate(exchange["bodies"]):
        record = bytes.fromhex(body)[5:]
        add(f"record-{n}", RECORD, record)
        if record[0] == 0:
            add(f"device-request-{n}", DEVICE_REQUEST, record[1:])
    add("refused-device-request-sense", DEVICE_REQUEST, bytes.fromhex(exchange["bodies"][0])[6:].replace(b"lamp\x01", b"lamp\x00"))
    add("delegation", DELEGATION, b"\xe8\x07" + RETAINED_FULL)
    add("unbonding", UNBONDING, b"\x02\x07\x64" + RETAINED_FULL + b"\x08\xe8\x07" + RETAINED_FULL)
    add("void-ids", VOID_IDS, b"\x02" + bytes(32) + bytes(range(32)))
    add("refused-void-ids-none", VOID_IDS, b"\x00")
    spending = json.loads((VECTORS / "wallet-v1.json").read_text())
    for n, entry in enumerate(spending["requests"]):
        from_hex(f"request-{n}", REQUEST, entry)
    request = bytes.fromhex(spending["requests"][0]["bytes"])
    add("body-requests", BODY, b"\x04\x01" + request)
    add("body-certificates", BODY, b"\x05\x01" + bytes.fromhex(spending["certificate"]))
    add("body-end-of-epoch", BODY, b"\x06\xac\x02")
    from_hex("message-with-votes", MESSAGE, spending["messages"][0])
    add("refused-message-with-votes-of-version-2", MESSAGE, b"\x02" + bytes.fromhex(spending["messages"][0]["bytes"])[1:])
    add("head-with-votes", HEAD, bytes.fromhex(spending["messages"][0]["head"]))
    add("certificate", CERTIFICATE, bytes.fromhex(spending["certificate"]))
    add("rejection", REJECTION, bytes.fromhex(spending["rejection"]))
    add("terms", TERMS, bytes.fromhex(spending["terms"]))
    add("wallet-parameters", WALLET_PARAMETERS, bytes.fromhex(spending["wallet_parameters"]))
    add("refused-wallet-parameters-threshold", WALLET_PARAMETERS, b"\x42" + bytes.fromhex(spending["wallet_parameters"])[1:])
    add("purse", PURSE, b"\xac\x02" + bytes(range(32)) + b"\xe8\x07")
    add("coins", COINS, b"\xe8\x07\x00\x05\xac\x02\x01")
    add("tally", TALLY, bytes(15) + b"\x03" + request)
    add("earnings", EARNINGS, b"\x05\xac\x02\x02\x01" + bytes(range(32)))
    add("service", SERVICE, bytes(range(32)) + b"\x01" + name("espresso") + bytes.fromhex(spending["terms"]))
    add("purchase", PURCHASE, bytes(range(64)) + b"\xac\x02" + struct.pack(">Q", 1_750_000_000_000) + b"\x01")
    add("refused-purchase-silence", PURCHASE, bytes(range(64)) + b"\xac\x02" + struct.pack(">Q", 1_750_000_000_000) + b"\x02")
    add("farewells", FAREWELLS, b"\x05" + bytes(15) + b"\x07")
    add("refused-void-ids-twice", VOID_IDS, b"\x02" + bytes(range(32)) * 2)
    return seeds


def payload_seeds():
    """Payloads of every form: topic, time of arrival, payload."""
    payloads = {
        "number": b"-21.5e1",
        "boolean": b"true",
        "text": "locked — 鍵".encode(),
        "bytes": b"\x00\xff\x07",
        "short": b'{"v":21.5,"t":1699999999123,"n":42,"u":"Cel"}',
        "short-text": b'{"v":"open \\u00e9"}',
        "pack-one": b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]',
        "pack-base": b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},'
                     b'{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3}]',
        "pack-values": b'[{"n":"a","vs":"on"},{"n":"b","vb":false},{"n":"c","vd":"-_8"},{"n":"d","bv":1,"v":2,"s":3,"ut":4,"seq":5}]',
        "refused-signed-object": b'{"v":21.5,"t_us":1699999999123000,"n":42,"u":"Cel","sig":"' + b"0" * 128 + b'"}',
        "refused-signed-envelope": b"\xf7wr\x01" + bytes(80),
        "refused-unit-control": b'{"v":1,"u":"\\u0007"}',
        "refused-pack-clash": b'[{"n":"a/t","v":1},{"n":"b/t","v":1}]',
        "refused-pack-label": b'[{"new_":1,"v":1}]',
    }
    return {what: bytes([0, 2]) + payload for what, payload in payloads.items()}


def fog_seeds():
    """A parser, a time of arrival and a payload; 6 and a configuration; 7 and the series of a snapshot. The numbers are those of
    fuzz/src/fog.rs."""
    auto, raw, document, senml, cbor, lpp, configuration, snapshot = range(8)
    stages = "".join(f"[[pipeline.stage]]\n{stage}\n" for stage in (
        'do = "normalise"\nunit = "kW"\nscale = 2\noffset = 1\nround_s = 10\nduplicates = 2',
        'do = "validate"\nmin = -1\nmax = 1e3\nrate_max_per_s = 5\nunits = ["kW"]\ncondition = "value > limit || unit == \\"W\\""',
        'do = "enrich"\ndata_type = "c"\nexpression = "a / b + 1"\ninputs = { a = "power.a", b = "power.b" }\nage_max_s = 60',
        'do = "window"\nsize_s = 40\nstep_s = 10\nlateness_s = 5\nemit = ["mean", "last"]\nkeep = false',
        'do = "filter"\ndeadband_percent = 5\nsilence_max_s = 60',
        'do = "rule"\nname = "r"\nwhen = "value > 3"\nuntil = "value < 2"\nhold_s = 30\npublish = "+/+/act/v"\non = 1\noff = 0'))
    head = '[[pipeline]]\nname = "p"\nmatch = "plant/+/sense/power"\n'
    topic = name("plant") + name("meter-1") + b"\x00" + name("power")
    actuator = name("plant") + name("meter-1") + b"\x01" + name("v")
    time = struct.pack(">Q", 1_750_000_000_000_000)
    number = b"\x00" + struct.pack(">d", 2.5)
    pane = struct.pack(">QQQQQ", 1_749_999_960_000_000, 1, 1_750_000_000_000_000, 1_750_000_000_000_000, 1_750_000_000_000_000)
    window = time * 3 + b"\x01\x01W\x01" + time + b"\x01" + pane + struct.pack(">ddddd", 1, 2, 3, 1, 2)
    series = (topic + b"\x04" + b"\x00\x01\x01\x07" + bytes(8) + b"\x01\x00" + time + number + b"\x02\x02" + time + bytes(8) + b"\x00" + number
              + b"\x03\x03" + window)
    rule = actuator + b"\x01\x05\x05" + time + time + b"\x02\x01\x00"
    return {
        "auto": bytes([auto, 1]) + b'{"v":21.5,"t":1699999999123,"n":42,"u":"Cel"}',
        "auto-clock-ahead": bytes([auto, 0]) + b'{"v":1,"t":1699999999123}',
        "raw": bytes([raw, 1]) + b"\x00\xff",
        "json": bytes([document, 1]) + b'{"v":true,"a":[1.5],"t":1749999999000,"n":3}',
        "refused-json-nothing": bytes([document, 1]) + b'{"w":1}',
        "refused-json-type": bytes([document, 1]) + b'{"v":{}}',
        "senml-json": bytes([senml, 1]) + b'[{"bn":"x:","n":"a","v":1,"seq":1},{"n":"b","vs":"on"}]',
        "refused-senml-json": bytes([senml, 1]) + b"21.5",
        "senml-cbor": bytes([cbor, 1]) + b"\x82\xa5\x21\x62x:\x00\x61a\x02\xf9\x3e\x00\x06\x24\x63seq\x01\xa2\x00\x61b\x08\x42\x00\xff",
        "senml-cbor-open": bytes([cbor, 1]) + b"\x9f\xbf\x02\xc4\x82\x21\x19\x6a\xb3\xff\xff",
        "refused-senml-cbor": bytes([cbor, 1]) + b"\x81\xa1\x61v\x01",
        "lpp": bytes([lpp, 1]) + bytes.fromhex("036701100568640188" "06765ff2960a0003e8" "067104d2fb2e0000"),
        "refused-lpp": bytes([lpp, 1]) + bytes.fromhex("0142"),
        "configuration-empty": bytes([configuration]),
        "configuration": bytes([configuration]) + (head + "constants = { limit = 3 }\n" + stages).encode(),
        "refused-configuration": bytes([configuration]) + (head + '[[pipeline.stage]]\ndo = "filter"\nwhen = "valeu > 3"\n').encode(),
        "snapshot-empty": bytes([snapshot]) + b"\x00",
        "snapshot": bytes([snapshot]) + b"\x02" + series + rule,
        "refused-snapshot-stage": bytes([snapshot]) + b"\x01" + topic + b"\x01\x05\x00" + time + number,
    }


def draft(issuer, slip, *others):
    """A message to be: issuer, slip (0 forks, 1 leaves a gap, else honest), other parents by number."""
    return bytes([issuer, slip, len(others)]) + b"".join(struct.pack(">H", n) for n in others)


def graph(kind, drafts, order, rest):
    """An input of dag_model. The order is given by places among those that are left."""
    return bytes([kind, len(drafts) - 1]) + b"".join(drafts) + bytes(order) + bytes(rest)


def dag_seeds():
    """Braided chains, a fork, random graphs; everything arrives, room is short, milestones come."""
    chance = random.Random(1)
    braid = [draft(0, 9), draft(1, 9, 0), draft(2, 9, 1), draft(0, 9, 1, 2), draft(1, 9, 2, 3), draft(3, 9, 0, 3), draft(2, 9, 4, 5)]
    fork = [draft(0, 9), draft(0, 9), draft(0, 0, 1), draft(1, 9, 1, 2), draft(0, 1, 3), draft(1, 9, 3)]
    wild = [draft(chance.randrange(4), chance.randrange(10), *(chance.randrange(24) for _ in range(chance.randrange(4)))) for _ in range(24)]
    shuffled = [chance.randrange(24) for _ in wild]
    backwards = [len(braid) - 1 - n for n in range(len(braid))]
    # arrive some, propose, finalise, forget, again
    life = [0, 2, 2, 4, 0, 1, 2, 4, 6, 0, 7, 0, 0, 0, 4, 2, 4, 6, 1, 7, 0, 3, 0, 4, 2, 4, 6, 0]
    return {
        "arrivals-braid": graph(0, braid, [0] * len(braid), [3, 2]),
        "arrivals-backwards": graph(0, braid, backwards, [3, 2]),
        "arrivals-fork": graph(0, fork, [0, 1, 0, 1, 0, 0], [2, 4]),
        "arrivals-wild": graph(0, wild, shuffled, [9, 9]),
        "bounded-backwards": graph(1, braid, backwards, [2, 2] + [47, 1, 47, 0, 47, 2, 47]),
        "bounded-wild": graph(1, wild, shuffled, [3, 1] + [chance.randrange(48) for _ in wild]),
        "life-braid": graph(2, braid, [0] * len(braid), life),
        "life-fork": graph(2, fork, [1, 0, 1, 0, 1, 0], life),
        "life-wild": graph(2, wild, shuffled, life + life),
    }


def ledger_seeds():
    """Operations: 0 to 4 the next message of an issuer, 5 and 6 one with any sequence (void if it is not the next), 7 commits. A message's number
    modulo 5 says what it carries: 0 data, 1 an order, 2 by turns (modulo 25) evidence, requests, certificates, an end of the epoch, votes; else
    readings, 3 (modulo 25) with shares."""
    def following(issuer, number):
        return bytes([0, issuer]) + struct.pack(">H", number)

    def near(issuer, offset, number):
        return bytes([5, issuer, 0, 128 + offset]) + struct.pack(">H", number)

    def anywhere(issuer, sequence, number):
        return bytes([5, issuer, 255]) + struct.pack(">QH", sequence, number)

    def ordering(issuer, wallet, validator, action, amount):
        """A message with an order; actions are register, retire, delegate, undelegate, withdraw, fund, service, settle."""
        return following(issuer, 1) + bytes([wallet, validator, 200, 10]) + struct.pack(">H", amount) + bytes([action])

    def accusing(issuer, offender, sequence, other):
        """A message with evidence."""
        return following(issuer, 2) + bytes([offender, sequence, other])

    def requesting(issuer, wallet, other, at, price, operation, voted=0):
        """A message with a request; operations are transfer (0, 1), buy, redeem. `at`: 0 the purse's State, 128 the one after its last request."""
        return following(issuer, 7) + bytes([0, wallet, other, at, 10]) + struct.pack(">H", price) + bytes([operation, 0, voted])

    def certifying(issuer, which, members, kept=200):
        """A message with a certificate of a request so far."""
        return following(issuer, 12) + bytes([which, members, kept])

    def voting(issuer, *which):
        """A message with votes for requests so far."""
        return following(issuer, 22) + bytes([len(which) - 1, *which])

    def ending(issuer):
        """The end of the epoch."""
        return following(issuer, 17) + b"\x00"

    def sharing(issuer, readings, wallet, shares, root):
        """A message with readings that pay a wallet."""
        return following(issuer, 3) + bytes([readings, wallet, shares, root])

    def offering(issuer, wallet, price):
        """A service."""
        return ordering(issuer, wallet, 0, 6, price) + b"\x00"

    def settling(issuer, wallet, which, outcome):
        """The end of a purchase: delivered, failed, due."""
        return ordering(issuer, wallet, 0, 7, 1) + bytes([which, outcome])

    commit = b"\x07"
    fund = ordering(0, 1, 0, 5, 3)
    chain = b"".join(requesting(1, 1, 2, at, 5, 0) for at in (0, 128, 128))
    return {
        "spend": fund + commit + requesting(0, 1, 2, 0, 9, 0, 200) + voting(1, 0) + voting(2, 0) + voting(3, 0) + voting(1, 0),
        "spend-chain": fund + chain + certifying(0, 2, 15) + commit + certifying(0, 1, 7) + voting(1, 0) + voting(2, 0) + commit + voting(3, 0),
        "spend-twice": fund + requesting(0, 1, 2, 0, 9, 0) + requesting(1, 1, 3, 0, 8, 0) + b"".join(voting(n, 0, 1) for n in range(4)),
        "spend-forged": fund + requesting(0, 1, 2, 0, 9, 0) + certifying(0, 0, 3) + certifying(0, 0, 15, 0) + certifying(0, 0, 15) + certifying(0, 0, 15),
        "buy": fund + offering(0, 2, 4) + requesting(0, 1, 2, 0, 124, 2) + certifying(3, 0, 14) + settling(0, 1, 0, 0) + settling(0, 2, 0, 0) + commit,
        "redeem": fund + requesting(0, 1, 2, 0, 1, 3) + certifying(3, 0, 14) + requesting(0, 1, 2, 0, 2, 3) + certifying(3, 1, 14),
        "end-of-epoch": fund + requesting(0, 1, 2, 0, 9, 0) + voting(1, 0) + ending(2) + ending(2) + voting(2, 0) + voting(3, 0) + commit + voting(0, 0),
        "shares": sharing(0, 9, 1, 4, 1) + sharing(0, 9, 1, 4, 1) + sharing(0, 9, 1, 40, 2) + commit + sharing(1, 200, 2, 100, 1),
        "stake": ordering(0, 1, 2, 3, 3) + ordering(1, 1, 2, 4, 0) + ordering(2, 1, 3, 2, 1) + commit + ordering(0, 2, 2, 1, 0) + ordering(1, 2, 2, 0, 0),
        "slash": accusing(0, 1, 9, 1) + commit + accusing(2, 1, 9, 2) + accusing(2, 3, 9, 0) + ordering(0, 1, 1, 3, 5),
        "one": following(0, 1),
        "chain": b"".join(following(0, n) for n in range(6)),
        "four-issuers": b"".join(following(n % 4, 4095 - n) for n in range(12)),
        "milestones": following(0, 1) + commit + following(1, 2) + following(0, 3) + commit + commit + following(0, 4) + commit,
        "repeated": following(0, 1) + near(0, -1, 1) + following(0, 2) + near(0, -2, 2) + near(0, 0, 3),
        "void": near(0, 2, 5) + near(0, 2, 10) + near(0, 1, 5) + commit + following(0, 5) + following(0, 10) + commit + following(0, 15),
        "gap": following(0, 1) + near(0, 1, 2) + anywhere(1, 2**64 - 1, 3) + anywhere(1, 0, 5) + commit + near(1, 0, 6),
    }


def receipt_seeds(vectors):
    """Good receipts as text, and changes of good ones."""
    return {
        "text-handed-over-unchanged": b"\x01\x02",
        "parts-handed-over-unchanged": b"\x02\x02",
        "parts-handovers-of-another": b"\x02\x01\x0e\x00\x00\x02",
        "parts-handover-dropped": b"\x02\x02\x0e\x00\x01",
        "parts-handover-changed": b"\x02\x02\x0e\x00\x03\x00\x30\x00\x03",
        "text-handed-over": b"\x00" + vectors["handed_over_receipt"].encode(),
        "text": b"\x00" + vectors["receipt"].encode(),
        "text-anchored": b"\x00" + vectors["anchored_receipt"].encode(),
        "text-unchanged": b"\x01\x00",
        "text-anchored-unchanged": b"\x01\x01",
        "parts-unchanged": b"\x02\x00",
        "parts-anchored-unchanged": b"\x02\x01",
        "parts-reading": b"\x02\x00\x00\x00\x05\x01x",
        "parts-index-and-path": b"\x02\x00\x06" + struct.pack(">Q", 2) + b"\x03\x02",
        "parts-milestone": b"\x02\x01\x08\x00\x28\x00\x01",
        "parts-anchor-dropped": b"\x02\x01\x0a\x00",
        "parts-anchor-and-certificate-of-the-other": b"\x02\x00\x0a\x01\x0b\x01",
        "parts-certificate": b"\x02\x00\x0e\x00\x30\x00\x03",
    }


def mqtt_sn_seeds():
    """A datagram of every message, encapsulated and in the long form too."""
    def message(kind, body=b""):
        return bytes([len(body) + 2, kind]) + body

    def long(kind, body):
        return b"\x01" + struct.pack(">H", len(body) + 4) + bytes([kind]) + body

    publish = message(0x0C, b"\x30" + struct.pack(">HH", 5, 9) + b"21.5")
    messages = {
        "advertise": message(0x00, b"\x01" + struct.pack(">H", 900)),
        "searchgw": message(0x01, b"\x01"),
        "gwinfo": message(0x02, b"\x01\x0a\x00\x00\x01"),
        "connect": message(0x04, b"\x0c\x01" + struct.pack(">H", 60) + b"plant/meter-1"),
        "connack": message(0x05, b"\x00"),
        "willtopicreq": message(0x06),
        "willtopic": message(0x07, b"\x30" + b"root/device/plant/m/sense/state"),
        "willtopic-empty": message(0x07),
        "willmsgreq": message(0x08),
        "willmsg": message(0x09, b"gone"),
        "register": message(0x0A, struct.pack(">HH", 0, 1) + b"root/device/plant/m/sense/power"),
        "regack": message(0x0B, struct.pack(">HHB", 5, 1, 0)),
        "publish": publish,
        "publish-predefined": message(0x0C, b"\xa1" + struct.pack(">HH", 7, 9)),
        "publish-minus-one": message(0x0C, b"\x62ab\x00\x00x"),
        "publish-long": long(0x0C, b"\x20" + struct.pack(">HH", 5, 9) + b"x" * 300),
        "publish-long-form": long(0x0C, b"\x20" + struct.pack(">HH", 5, 9) + b"x"),
        "puback": message(0x0D, struct.pack(">HHB", 5, 9, 2)),
        "pubcomp": message(0x0E, struct.pack(">H", 9)),
        "pubrec": message(0x0F, struct.pack(">H", 9)),
        "pubrel": message(0x10, struct.pack(">H", 9)),
        "subscribe": message(0x12, b"\x40" + struct.pack(">H", 9) + b"root/fog/#"),
        "subscribe-predefined": message(0x12, b"\x21" + struct.pack(">HH", 9, 7)),
        "subscribe-short": message(0x12, b"\x02" + struct.pack(">H", 9) + b"ab"),
        "suback": message(0x13, b"\x20" + struct.pack(">HHB", 5, 9, 0)),
        "unsubscribe": message(0x14, b"\x00" + struct.pack(">H", 9) + b"root/fog/#"),
        "unsuback": message(0x15, struct.pack(">H", 9)),
        "pingreq": message(0x16, b"meter-1"),
        "pingresp": message(0x17),
        "disconnect": message(0x18),
        "disconnect-sleep": message(0x18, struct.pack(">H", 3600)),
        "willtopicupd": message(0x1A, b"\x10w/t"),
        "willtopicresp": message(0x1B, b"\x00"),
        "willmsgupd": message(0x1C, b"bye"),
        "willmsgresp": message(0x1D, b"\x03"),
        "encapsulated": b"\x05\xfe\x01N7" + publish,
    }
    refused = {
        "type": message(0x03),
        "length": b"\x03\x06",
        "length-long": b"\x01\x00\x03",
        "trailing": message(0x06) + b"\x00",
        "topic-id-type": message(0x0C, b"\x03" + struct.pack(">HH", 5, 9)),
        "return-code": message(0x05, b"\x04"),
        "text": message(0x04, b"\x04\x01\x00\x3c\xff"),
        "encapsulated-twice": b"\x05\xfe\x01N7\x05\xfe\x01N8" + publish,
    }
    seeds = {what: b"\x00" + data for what, data in messages.items()}
    seeds.update({f"refused-{what}": b"\x00" + data for what, data in refused.items()})
    seeds["bare-publish"] = b"\x01" + publish
    return seeds


def main():
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
    vectors = json.loads(source.read_text())
    corpora = {"decode": decode_seeds(vectors), "edge_payload": payload_seeds(), "fog": fog_seeds(), "dag_model": dag_seeds(),
               "ledger_model": ledger_seeds(), "verify_receipt": receipt_seeds(vectors), "mqtt_sn": mqtt_sn_seeds()}
    for target, seeds in corpora.items():
        folder = FUZZ / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if not old.name.startswith("found-"):
                old.unlink()
        for what, data in seeds.items():
            if len(data) > FILE_BYTES_MAX:
                sys.exit(f"{target}/{what} has {len(data)} bytes, the limit is {FILE_BYTES_MAX}")
            (folder / what).write_bytes(data)
        print(f"{target}: {len(seeds)} seeds")


if __name__ == "__main__":
    main()
