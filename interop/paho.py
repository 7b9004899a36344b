#!/usr/bin/env python3
"""Runs one suite of Eclipse Paho's interoperability tests; interop/paho.sh starts it.

    paho.py DIRECTORY SCRIPT HOST PORT NAME PASSWORD

The suites are used as they are. From outside they get: where the broker is, and a name and a password in each CONNECT, since
a broker of ours lets nobody publish everywhere without; a topic that nobody may subscribe to (their option -n has no effect);
a limit of time for each test, since some wait for ever for a packet that does not come; and a list of what came out.
"""

import importlib
import os
import runpy
import signal
import sys
import unittest

# Seconds that one test may take. The longest that passes waits for about 25.
LIMIT_S = 90

# What is expected to fail, and why; docs/interop.md says more.
KNOWN = {
    ("client_test5.py", "test_client_topic_alias"): "the engine closes without the DISCONNECT that is waited for",
    ("client_test5.py", "test_flow_control2"): "the engine closes without the DISCONNECT that is waited for",
    ("client_test5.py", "test_server_keep_alive"): "it wants the keep-alive of one broker, 60 s",
    ("client_test5.py", "test_server_topic_alias"): "this broker uses no topic aliases, as MQTT 5 allows",
    ("client_test5.py", "test_request_response"): "it publishes before the other client's SUBACK has come",
    ("client_test5.py", "test_subscribe_options"): "it publishes before the other client's SUBACK has come",
    ("client_test5.py", "test_session_expiry"): "it comes back in the moment after its DISCONNECT",
    ("client_test5.py", "test_subscribe_failure"): "it wants the reason 0x80; 0x87, not authorised, is told",
}


class Results(unittest.TextTestResult):
    """Remembers the outcome of each test."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.outcomes = []

    def note(self, test, outcome):
        # what fails before the tests is called setUpClass (…)
        self.outcomes.append((getattr(test, "_testMethodName", str(test)), outcome))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note(test, "passed")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note(test, "failed")

    def addError(self, test, error):
        super().addError(test, error)
        self.note(test, "failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped")


def too_long(*_):
    raise TimeoutError(f"more than {LIMIT_S} s")


def main():
    directory, script, host, port, name, password = sys.argv[1:]
    sys.path.insert(0, directory)
    version = "V5" if script.endswith("5.py") else "V311"
    client = importlib.import_module(f"mqtt.clients.{version}").Client
    connect = client.connect

    def log_in(self, **given):
        given.update(host=host, port=int(port))
        given.setdefault("username", name)
        given.setdefault("password", password.encode())
        return connect(self, **given)

    client.connect = log_in

    run_test = unittest.TestCase.run

    def run_limited(self, result=None):
        signal.alarm(LIMIT_S)
        try:
            return run_test(self, result)
        finally:
            signal.alarm(0)

    signal.signal(signal.SIGALRM, too_long)
    unittest.TestCase.run = run_limited

    def run_all(*_, **__):
        suite = sys.modules["__main__"]
        suite.nosubscribe_topics = ("$SYS/nosubscribe",)
        if hasattr(suite, "setData"):  # MQTT 5 sets its topics again
            set_data = suite.setData

            def set_ours():
                set_data()
                suite.nosubscribe_topics = ("$SYS/nosubscribe",)

            suite.setData = set_ours
        tests = unittest.defaultTestLoader.loadTestsFromModule(suite)
        results = unittest.TextTestRunner(verbosity=2, resultclass=Results).run(tests)
        raise SystemExit(report(script, results.outcomes))

    unittest.main = run_all
    sys.argv = [script]
    runpy.run_path(os.path.join(directory, script), run_name="__main__")


def report(script, outcomes):
    """Prints what came out; 1 if something did that was not expected."""
    surprises = 0
    print(f"\n{script}:")
    for test, outcome in outcomes:
        known = KNOWN.get((script, test))
        surprise = outcome != "passed" and known is None
        surprises += surprise
        note = f" ({known})" if known and outcome != "passed" else ""
        note = " (was expected to fail)" if known and outcome == "passed" else note
        print(f"  {test:34} {outcome}{note}{'   <-- not expected' if surprise else ''}")
    passed = sum(outcome == "passed" for _, outcome in outcomes)
    print(f"  {passed} of {len(outcomes)} passed, {surprises} not expected")
    sys.stdout.flush()
    return 1 if surprises or not outcomes else 0


if __name__ == "__main__":
    main()
