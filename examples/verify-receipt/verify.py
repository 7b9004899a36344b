#!/usr/bin/env python3
"""Checks a wattle receipt offline, with nothing of wattle.

    python3 verify.py RECEIPT.json --genesis genesis.json
    python3 verify.py --batch RECEIPTS.jsonl --genesis genesis.json

It was written from `docs/spec/receipt.md` alone; the rule numbers in the comments are those of that page.
It needs Python 3.9 and `cryptography`. It opens no socket and reads no clock.

Exit code: 0 the receipt holds; 1 it is refused, with the reason on stderr; 2 usage, or a file that cannot be
read. With `--batch`, each line of the file is `{"receipt": "<the text of a receipt file>"}`; each gives one
line, `ok` or `refused: <reason>`, and the exit code is 0 only if all are ok.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import json
import math
import re
import struct
import sys
import unicodedata

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.stderr.write("verify.py needs the package cryptography: pip install cryptography\n")
    sys.exit(2)

# every bound
NAME_BYTES_MAX = 64
SITE_LEVELS_MAX = 4
VALUE_BYTES_MAX = 16 * 1024
UNIT_BYTES_MAX = 16
PARENTS_MAX = 8
VOTES_MAX = 1024
SHARES_MAX = 64
DATA_BYTES_MAX = 4096
BATCH_READINGS_MAX = 4096
BATCH_BYTES_MAX = 1 << 20
TIPS_MAX = 64
COMMITTEE_MAX = 128
CUT_MESSAGES_MAX = 16 * 1024
PATH_MAX = 64
WALLETS_MAX = 4096
HANDOVERS_MAX = 4096

U16_MAX = (1 << 16) - 1
U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1


class Refused(Exception):
    """The receipt (or genesis) proves nothing; the text says why."""


# ---------------------------------------------------------------- codec


class Reader:
    """Takes values off bytes, each in its one allowed form."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def remaining(self):
        return len(self.data) - self.at

    def take(self, n, what):
        if n > self.remaining():
            raise Refused(f"the bytes end inside {what}")
        start = self.at
        self.at += n
        return self.data[start : self.at]

    def byte(self, what):
        return self.take(1, what)[0]

    def u16(self, what):
        return int.from_bytes(self.take(2, what), "big")

    def u64(self, what):
        return int.from_bytes(self.take(8, what), "big")

    def id(self, what):
        return self.take(32, what)

    def varint(self, what):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.byte(what)
            if byte == 0 and shift > 0:
                raise Refused(f"{what} is not in canonical form: an overlong integer")
            value |= (byte & 0x7F) << shift
            if value > U64_MAX:
                raise Refused(f"{what} is over 64 bits")
            if byte & 0x80 == 0:
                return value
        raise Refused(f"{what} is over 64 bits")

    def length(self, limit, unit, what):
        found = self.varint(what)
        if found > limit:
            raise Refused(f"{what} has length {found}, the limit is {limit}")
        if found * unit > self.remaining():
            raise Refused(f"the bytes end inside {what}")
        return found

    def bytes(self, limit, what):
        return self.take(self.length(limit, 1, what), what)

    def text(self, limit, what):
        raw = self.bytes(limit, what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(f"{what} is not UTF-8") from None

    def flag(self, what):
        byte = self.byte(what)
        if byte > 1:
            raise Refused(f"{what} is not in canonical form: an option's marker is {byte}")
        return byte == 1

    def version(self, what, known=1):
        byte = self.byte(what)
        if byte != known:
            raise Refused(f"{what} has unknown version {byte}")

    def ids(self, limit, what):
        return [self.id(what) for _ in range(self.length(limit, 32, what))]

    def count(self, limit, what):
        found = self.varint(what)
        if found == 0 or found > limit:
            raise Refused(f"{what} is {found}, allowed are 1 to {limit}")
        return found

    def finish(self):
        if self.remaining():
            raise Refused(f"{self.remaining()} bytes follow the end of the value")


def put_varint(value):
    out = bytearray()
    while True:
        low = value & 0x7F
        value >>= 7
        if value == 0:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def put_bytes(data):
    return put_varint(len(data)) + data


def ascending(items):
    return all(a < b for a, b in zip(items, items[1:]))


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def checked_name(text, what):
    """R-10."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(f"{what} is not Unicode text") from None
    if not raw or len(raw) > NAME_BYTES_MAX:
        raise Refused(f"{what} has {len(raw)} bytes, allowed are 1 to {NAME_BYTES_MAX}")
    if text[0] == "$" or any(c in "/+#@" or unicodedata.category(c) == "Cc" for c in text):
        raise Refused(f"{what} holds a character that a name may not hold")
    return text


def checked_site(text, what):
    """R-10: one name, or up to four that are parted by a slash."""
    if "/" not in text:
        return checked_name(text, what)
    levels = text.split("/")
    if len(text.encode("utf-8", "replace")) > NAME_BYTES_MAX or len(levels) > SITE_LEVELS_MAX:
        raise Refused(f"{what} is too long")
    for level in levels:
        checked_name(level, what)
    if "sense" in levels or "act" in levels:
        raise Refused(f"{what} holds a level that a site may not have")
    return text


# ---------------------------------------------------------------- Ed25519 by ZIP-215

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def decompress(encoded):
    """The point (X, Y, Z, T) of 32 bytes, or None: y may be p or more, x = 0 may carry the sign bit."""
    raw = int.from_bytes(encoded, "little")
    sign, y = raw >> 255, (raw & ((1 << 255) - 1)) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P) % P, (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * SQRT_M1 % P
        if v * x * x % P != u:
            return None
    if x & 1 != sign:
        x = -x % P  # of 0 this is 0
    return (x, y, 1, x * y % P)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * D * p[3] * q[3] % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def double(p):
    a, b = p[0] * p[0] % P, p[1] * p[1] % P
    c = 2 * p[2] * p[2] % P
    h = a + b
    e = h - (p[0] + p[1]) ** 2
    g = a - b
    f = c + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def negate(p):
    return (-p[0] % P, p[1], p[2], -p[3] % P)


def is_identity(p):
    return p[0] % P == 0 and (p[1] - p[2]) % P == 0


def times_eight(p):
    return double(double(double(p)))


IDENTITY = (0, 1, 1, 0)
BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def zip215(key, data, signature):
    a, r = decompress(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + data).digest(), "little") % L
    # [8](s·B − k·A − R) = 0, both products in one chain of doublings
    minus_a = negate(a)
    table = (None, BASE, minus_a, add(BASE, minus_a))
    total = IDENTITY
    for bit in range(252, -1, -1):
        total = double(total)
        term = table[(s >> bit & 1) | (k >> bit & 1) << 1]
        if term is not None:
            total = add(total, term)
    return is_identity(times_eight(add(total, negate(r))))


def verify_signature(key, namespace, message, signature):
    """R-11. What the package accepts ZIP-215 accepts too; of what it refuses, the slow check decides."""
    data = put_bytes(namespace) + message
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
        return True
    except Exception:  # refusals differ between versions of the package
        return zip215(key, data, signature)


def is_sound_key(key):
    """R-14: a point, not of small order."""
    point = decompress(key)
    return point is not None and not is_identity(times_eight(point))


# ---------------------------------------------------------------- Merkle trees


def leaf_hash(data):
    return sha256(b"\x00", data)


def tree_root(leaves):
    """R-15, of at least one leaf."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01", tree_root(leaves[:half]), tree_root(leaves[half:]))


def verify_path(leaf, index, size, path, root):
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = sha256(b"\x01", p, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = sha256(b"\x01", r, p)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root


# ---------------------------------------------------------------- what travels


def decode_value(reader):
    tag = reader.byte("a value")
    if tag == 0:
        number = struct.unpack(">d", reader.take(8, "a number"))[0]
        if not math.isfinite(number) or (number == 0 and math.copysign(1, number) < 0):
            raise Refused("a number is not in canonical form")
        return ("number", number)
    if tag == 1:
        return ("boolean", reader.flag("a truth value"))
    if tag == 2:
        return ("text", reader.text(VALUE_BYTES_MAX, "a text value"))
    if tag == 3:
        return ("bytes", reader.bytes(VALUE_BYTES_MAX, "a byte value"))
    raise Refused(f"a value has unknown tag {tag}")


def decode_reading(reader):
    version = reader.byte("the reading's version")
    if version not in (1, 2):
        raise Refused(f"the reading has unknown version {version}")
    site = checked_site(reader.text(NAME_BYTES_MAX, "a site"), "a site")
    device = checked_name(reader.text(NAME_BYTES_MAX, "a device ID"), "a device ID")
    direction = reader.byte("a direction")
    if direction > 1:
        raise Refused(f"a direction has unknown tag {direction}")
    data_type = checked_name(reader.text(NAME_BYTES_MAX, "a data type"), "a data type")
    time_us = reader.u64("a reading's time")
    sequence = reader.varint("a reading's sequence") if reader.flag("a reading's sequence") else None
    unit = reader.text(UNIT_BYTES_MAX, "a unit") if reader.flag("a unit") else None
    if unit is not None and any(unicodedata.category(c) == "Cc" for c in unit):
        raise Refused("a unit holds a control character")
    value = decode_value(reader)
    signed = None
    if version == 2:
        if sequence is None:
            raise Refused("a signed reading has no sequence")
        signed = {"key": reader.take(32, "a device's key"), "signature": reader.take(64, "a device's signature")}
    topic = f"{site}/{device}/{('sense', 'act')[direction]}/{data_type}"
    return {"topic": topic, "time_us": time_us, "sequence": sequence, "unit": unit, "value": value, "signed": signed}


def decode_body(reader):
    tag = reader.byte("a body")
    if tag == 0:
        root = reader.id("a batch's root")
        count = reader.count(BATCH_READINGS_MAX, "a batch's count")
        reader.count(BATCH_BYTES_MAX, "a batch's size")
        first, last = reader.u64("a batch's span"), reader.u64("a batch's span")
        if first > last:
            raise Refused("a batch's span ends before it begins")
        reader.id("a batch's blob")
        for _ in range(reader.length(SHARES_MAX, 33, "a message's shares")):
            reader.id("a wallet")
            reader.count(BATCH_READINGS_MAX, "a share")
        return {"root": root, "count": count}
    if tag == 1:
        reader.bytes(DATA_BYTES_MAX, "a data body")
        return None
    if 2 <= tag <= 6:
        # orders, evidence, requests, certificates, the end of an epoch: whatever follows, R-33 refuses the message
        raise Refused("the message anchors no readings")
    raise Refused(f"a body has unknown tag {tag}")


def decode_message(reader):
    start = reader.at
    version = reader.byte("the message's version")
    if version not in (2, 3):
        raise Refused(f"the message has unknown version {version}")
    tag = reader.take(8, "a network tag")
    subnet = reader.u16("a subnet")
    issuer = reader.id("an issuer")
    reader.varint("a sequence")
    rest_at = reader.at
    parents = reader.ids(PARENTS_MAX, "a message's parents")
    if not parents:
        raise Refused("a message names no parent")
    if not ascending(parents[1:]) or parents[0] in parents[1:]:
        raise Refused("a message's parents are not in canonical form")
    reader.u64("a message's time")
    votes_at = reader.at
    votes = reader.ids(VOTES_MAX, "a message's votes")
    votes_end = reader.at
    if not ascending(votes) or (version == 3) != bool(votes):
        raise Refused("a message's votes are not in canonical form")
    body = decode_body(reader)
    reader.u64("a proof of work")
    head, rest = reader.data[start:rest_at], reader.data[rest_at : reader.at]
    signed = sha256(rest)
    if votes:
        # WAL-12: the votes are signed by the root of a tree over them
        content = sha256(reader.data[rest_at:votes_at], reader.data[votes_end : reader.at])
        signed = sha256(b"wattle/message/v3", tree_root([leaf_hash(vote) for vote in votes]), content)
    signature = reader.take(64, "a signature")
    return {
        "tag": tag,
        "subnet": subnet,
        "issuer": issuer,
        "body": body,
        "signed": head + signed,
        "signature": signature,
        "id": sha256(head, rest, signature),
    }


def decode_milestone(reader):
    start = reader.at
    reader.version("the milestone")
    subnet = reader.u16("a subnet")
    reader.id("a parent")
    height = reader.varint("a height")
    epoch = reader.varint("an epoch")
    time_ms = reader.u64("a milestone's time")
    if not ascending(reader.ids(TIPS_MAX, "a milestone's tips")):
        raise Refused("a milestone's tips are not in canonical form")
    message_count = reader.varint("a milestone's message count")
    if message_count > CUT_MESSAGES_MAX:
        raise Refused(f"a milestone's message count is {message_count}, the limit is {CUT_MESSAGES_MAX}")
    messages_root = reader.id("a messages_root")
    reader.id("a state_root")
    history_root = reader.id("a history_root")
    members = None
    if reader.flag("a next committee"):
        members = reader.ids(COMMITTEE_MAX, "a next committee")
        if not members or not ascending(members):
            raise Refused("a next committee is not in canonical form")
    return {
        "subnet": subnet,
        "height": height,
        "epoch": epoch,
        "time_ms": time_ms,
        "message_count": message_count,
        "messages_root": messages_root,
        "history_root": history_root,
        "next_committee": members,
        "digest": sha256(reader.data[start : reader.at]),
    }


def decode_finalization(reader):
    start = reader.at
    epoch = reader.varint("an epoch")
    reader.varint("a view")
    reader.varint("a parent view")
    digest = reader.id("a digest")
    proposal = reader.data[start : reader.at]
    votes = []
    for _ in range(reader.length(COMMITTEE_MAX, 65, "a finalization's votes")):
        votes.append((reader.byte("a validator's index"), reader.take(64, "a signature")))
    if not ascending([index for index, _ in votes]):
        raise Refused("a finalization's votes are not in canonical form")
    return {"epoch": epoch, "digest": digest, "proposal": proposal, "votes": votes}


# ---------------------------------------------------------------- JSON

RECEIPT_FIELDS = {
    "format": str,
    "reading": str,
    "salt": str,
    "leaf_index": int,
    "batch_path": list,
    "message": str,
    "message_index": int,
    "message_path": list,
    "milestone": str,
    "anchor": (dict, type(None)),
    "finalization": str,
    "handovers": list,
}
HANDOVER_FIELDS = {"milestone": str, "finalization": str}
ANCHOR_FIELDS = {"milestone": str, "history_path": list}
GENESIS_FIELDS = {
    "format": str,
    "network": str,
    "name": str,
    "subnet": int,
    "created_ms": int,
    "parameters": dict,
    "committee": list,
    "wallets": list,
}
VALIDATOR_FIELDS = {"name": str, "key": str, "stake": int}
WALLET_FIELDS = {"key": str, "balance": int}
# each with its range
PARAMETER_RANGES = {
    "epoch_milestones": (2, U64_MAX),
    "committee_max": (1, COMMITTEE_MAX),
    "stake_min": (0, U64_MAX),
    "unbonding_epochs": (0, U64_MAX),
    "slash_percent": (0, 100),
    "share_per_second": (1, U32_MAX),
    "pow_difficulty": (0, 16),
}


def unique_keys(pairs):
    out = {}
    for key, value in pairs:
        if key in out:
            raise Refused("the JSON names a key twice")
        out[key] = value
    return out


def whole_number(text):
    if text.startswith("-") or len(text) > 20 or not text.isascii():
        raise Refused("the JSON holds a number out of range")
    return int(text)


def no_number(_text):
    raise Refused("the JSON holds a number that is not a whole one")


def parse_json(text, what):
    try:
        return json.loads(
            text, object_pairs_hook=unique_keys, parse_int=whole_number, parse_float=no_number, parse_constant=no_number
        )
    except (ValueError, RecursionError) as why:
        raise Refused(f"{what} is not JSON: {why}") from None


def fields(value, wanted, what):
    """R-27: an object with exactly the wanted keys, each of its type."""
    if not isinstance(value, dict) or set(value) != set(wanted):
        raise Refused(f"{what} is not an object with exactly the fields {', '.join(wanted)}")
    for key, kind in wanted.items():
        if not isinstance(value[key], kind) or isinstance(value[key], bool):
            raise Refused(f"the field {key} of {what} is of another type")
    return value


def bounded(value, limit, what):
    if value > limit:
        raise Refused(f"{what} is over {limit}")
    return value


def unb64(text, what):
    """R-28: base64url, no padding, unused bits zero."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise Refused(f"{what} is not base64url")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise Refused(f"{what} is not canonical base64url")
    return raw
# WAL-50: each with its range and its default; a genesis with the defaults need not name them
WALLET_PARAMETER_RANGES = {
    "threshold_percent": (67, 100, 67),
    "difficulty": (0, 16, 1),
    "shares_per_coin": (1, 1_000_000, 5),
    "vote_reward": (0, 10**9, 2),
    "share_cap": (0, 10**12, 10_000),
    "reward_cap": (0, 10**12, 1_000),
}


def part(decode, text, what):
    reader = Reader(unb64(text, what))
    value = decode(reader)
    reader.finish()
    return value


def hashes(items, what):
    if len(items) > PATH_MAX:
        raise Refused(f"{what} has {len(items)} hashes, the limit is {PATH_MAX}")
    out = [unb64(item, what) for item in items]
    if any(len(h) != 32 for h in out):
        raise Refused(f"{what} holds something that is not a hash")
    return out


def unhex(text, what):
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Refused(f"{what} is not 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


class Genesis:
    """R-22, R-29, R-30: whom to trust."""

    def __init__(self, text):
        j = parse_json(text, "the genesis")
        wanted = GENESIS_FIELDS
        if isinstance(j, dict) and "wallet_parameters" in j:
            wanted = GENESIS_FIELDS | {"wallet_parameters": dict}
        j = fields(j, wanted, "the genesis")
        if j["format"] != "wattle-genesis-v2":
            raise Refused("the genesis has an unknown format")
        name = checked_name(j["name"], "the network's name")
        self.subnet = bounded(j["subnet"], U16_MAX, "the subnet")
        created_ms = bounded(j["created_ms"], U64_MAX, "created_ms")
        parameters = fields(j["parameters"], dict.fromkeys(PARAMETER_RANGES, int), "parameters")
        for what, (low, high) in PARAMETER_RANGES.items():
            if not low <= parameters[what] <= high:
                raise Refused(f"{what} is not between {low} and {high}")
        w = {what: default for what, (_, _, default) in WALLET_PARAMETER_RANGES.items()}
        plain = True
        if "wallet_parameters" in j:
            stated = fields(j["wallet_parameters"], dict.fromkeys(WALLET_PARAMETER_RANGES, int), "wallet_parameters")
            plain, w = stated == w, stated
        for what, (low, high, _) in WALLET_PARAMETER_RANGES.items():
            if not low <= w[what] <= high:
                raise Refused(f"{what} is not between {low} and {high}")
        about_wallets = bytes([w["threshold_percent"], w["difficulty"]]) + put_varint(w["shares_per_coin"])
        about_wallets += put_varint(w["vote_reward"]) + put_varint(w["share_cap"]) + put_varint(w["reward_cap"])
        self.epoch_milestones = parameters["epoch_milestones"]
        self.validators, stakes = [], []
        for entry in j["committee"]:
            v = fields(entry, VALIDATOR_FIELDS, "a validator")
            self.validators.append((unhex(v["key"], "a validator's key"), checked_name(v["name"], "a validator's name")))
            stakes.append(v["stake"])
        wallets = []
        for entry in j["wallets"]:
            w = fields(entry, WALLET_FIELDS, "a wallet")
            wallets.append((unhex(w["key"], "a wallet's key"), w["balance"]))
        if len(wallets) > WALLETS_MAX:
            raise Refused(f"there are {len(wallets)} wallets, the limit is {WALLETS_MAX}")
        if not ascending([key for key, _ in wallets]):
            raise Refused("the wallets' keys are not strictly ascending")
        bounded(sum(stakes) + sum(balance for _, balance in wallets), U64_MAX, "the supply")
        check_committee([key for key, _ in self.validators])
        p = parameters
        encoded = (b"\x02" if plain else b"\x03") + put_bytes(name.encode()) + struct.pack(">HQ", self.subnet, created_ms)
        encoded += put_varint(p["epoch_milestones"]) + struct.pack(">H", p["committee_max"])
        encoded += put_varint(p["stake_min"]) + put_varint(p["unbonding_epochs"]) + bytes([p["slash_percent"]])
        encoded += put_varint(p["share_per_second"]) + bytes([p["pow_difficulty"]])
        encoded += put_varint(len(self.validators))
        for (key, validator), stake in zip(self.validators, stakes):
            encoded += key + put_bytes(validator.encode()) + put_varint(stake)
        encoded += put_varint(len(wallets))
        for key, balance in wallets:
            encoded += key + put_varint(balance)
        self.network = sha256(b"wattle/genesis/v2", encoded) if plain else sha256(b"wattle/genesis/v3", encoded, about_wallets)
        if j["network"] != self.network.hex():
            raise Refused("the network id does not fit the rest of the genesis: somebody changed it")
        self.name = name

    def committee_of(self, keys):
        """R-40: who is not in the genesis goes by the first 16 digits of the key."""
        check_committee(keys)
        names = dict(self.validators)
        return [(key, names.get(key, key.hex()[:16])) for key in keys]


def check_committee(keys):
    """R-9, R-14, R-22."""
    if not 1 <= len(keys) <= COMMITTEE_MAX:
        raise Refused(f"the committee has {len(keys)} validators, allowed are 1 to {COMMITTEE_MAX}")
    if not ascending(keys):
        raise Refused("the committee's keys are not strictly ascending")
    if not all(is_sound_key(key) for key in keys):
        raise Refused("the committee holds a key that is not sound")


# ---------------------------------------------------------------- the verdict


def check_finalization(finalization, committee, network):
    """R-41: by a quorum, every signature valid. Gives who signed."""
    quorum = 2 * len(committee) // 3 + 1
    if len(finalization["votes"]) < quorum:
        raise Refused(f"{len(finalization['votes'])} validators signed, {quorum} are needed")
    namespace = b"wattle/milestone/v1/" + network + b"_FINALIZE"
    signers = []
    for index, signature in finalization["votes"]:
        if index >= len(committee):
            raise Refused(f"validator {index} is not in the committee")
        key, name = committee[index]
        if not verify_signature(key, namespace, finalization["proposal"], signature):
            raise Refused(f"the signature of validator {index} is not valid")
        signers.append(name)
    return signers


def walk(genesis, handovers):
    """R-40: the committee of the epoch after the last handover."""
    committee = genesis.validators
    for epoch, (milestone, finalization) in enumerate(handovers):
        where = f"the handover of epoch {epoch}"
        if milestone["epoch"] != epoch or finalization["epoch"] != epoch:
            raise Refused(f"{where} is of another epoch")
        if milestone["height"] != (epoch + 1) * genesis.epoch_milestones - 1:
            raise Refused(f"the milestone in {where} does not close it")
        if milestone["subnet"] != genesis.subnet:
            raise Refused(f"{where} belongs to another subnet")
        if milestone["next_committee"] is None:
            raise Refused(f"{where} names no next committee")
        if finalization["digest"] != milestone["digest"]:
            raise Refused(f"the certificate in {where} is of another milestone")
        check_finalization(finalization, committee, genesis.network)
        committee = genesis.committee_of(milestone["next_committee"])
    return committee


def verify_receipt(text, genesis):
    j = fields(parse_json(text, "the receipt"), RECEIPT_FIELDS, "the receipt")
    if j["format"] != "wattle-receipt-v2":
        raise Refused("the receipt has an unknown format")
    leaf_index = bounded(j["leaf_index"], U32_MAX, "leaf_index")
    message_index = bounded(j["message_index"], U64_MAX, "message_index")
    salt = unb64(j["salt"], "the salt")
    if len(salt) != 32:
        raise Refused("the salt has not 32 bytes")
    reading = part(decode_reading, j["reading"], "the reading")
    batch_path = hashes(j["batch_path"], "the batch path")
    message = part(decode_message, j["message"], "the message")
    message_path = hashes(j["message_path"], "the message path")
    milestone = part(decode_milestone, j["milestone"], "the milestone")
    anchor = history_path = None
    if j["anchor"] is not None:
        a = fields(j["anchor"], ANCHOR_FIELDS, "the anchor")
        anchor = part(decode_milestone, a["milestone"], "the anchor")
        history_path = hashes(a["history_path"], "the history path")
    finalization = part(decode_finalization, j["finalization"], "the finalization")
    if len(j["handovers"]) > HANDOVERS_MAX:
        raise Refused(f"there are {len(j['handovers'])} handovers, the limit is {HANDOVERS_MAX}")
    handovers = []
    for entry in j["handovers"]:
        h = fields(entry, HANDOVER_FIELDS, "a handover")
        closing = part(decode_milestone, h["milestone"], "a handover's milestone")
        handovers.append((closing, part(decode_finalization, h["finalization"], "a handover's finalization")))

    # the message
    if message["tag"] != genesis.network[:8]:
        raise Refused("the message belongs to another network")
    if message["subnet"] != genesis.subnet:
        raise Refused("the message belongs to another subnet")
    namespace = b"wattle/message/v2/" + genesis.network
    if not verify_signature(message["issuer"], namespace, message["signed"], message["signature"]):
        raise Refused("the message's signature is not its issuer's")
    # it anchors readings
    if message["body"] is None:
        raise Refused("the message anchors no readings")
    # the reading is one of them
    encoded_reading = unb64(j["reading"], "the reading")
    leaf = leaf_hash(salt + encoded_reading)
    if not verify_path(leaf, leaf_index, message["body"]["count"], batch_path, message["body"]["root"]):
        raise Refused("the reading is not in the batch that the message anchors")
    # what a device signed, it signed: the reading in its first version
    if reading["signed"] is not None:
        content = b"\x01" + encoded_reading[1:-96]
        namespace = b"wattle/device-reading/v1/" + genesis.network
        if not verify_signature(reading["signed"]["key"], namespace, content, reading["signed"]["signature"]):
            raise Refused("the device's signature of the reading does not hold")
    # the milestone confirms the message
    leaf = leaf_hash(message["id"])
    if not verify_path(leaf, message_index, milestone["message_count"], message_path, milestone["messages_root"]):
        raise Refused("the message is not among those that the milestone confirms")
    # of this subnet
    if milestone["subnet"] != genesis.subnet:
        raise Refused("the milestone belongs to another subnet")
    # the certified milestone has it in its history
    certified = milestone
    if anchor is not None:
        if anchor["subnet"] != genesis.subnet:
            raise Refused("the anchor belongs to another subnet")
        leaf = leaf_hash(milestone["digest"])
        if not verify_path(leaf, milestone["height"], anchor["height"], history_path, anchor["history_root"]):
            raise Refused("the milestone is not in the history of the certified one")
        certified = anchor
    # the certificate is on it
    if certified["digest"] != finalization["digest"]:
        raise Refused("the finalization is of another milestone")
    # epochs and heights fit, and the handovers lead to the epoch that certified
    for m in (milestone, certified):
        if m["epoch"] != m["height"] // genesis.epoch_milestones:
            raise Refused(f"a milestone of height {m['height']} is not of epoch {m['epoch']}")
    if finalization["epoch"] != certified["epoch"]:
        raise Refused("the finalization is of another epoch")
    if len(handovers) != certified["epoch"]:
        raise Refused(f"the milestone is of epoch {certified['epoch']}, the handovers lead to epoch {len(handovers)}")
    # the committee of that epoch signed
    committee = walk(genesis, handovers)
    signers = check_finalization(finalization, committee, genesis.network)
    return {
        "reading": reading,
        "reading_id": sha256(b"wattle/reading/v1", encoded_reading),
        "issuer": message["issuer"],
        "message": message["id"],
        "height": milestone["height"],
        "confirmed_ms": milestone["time_ms"],
        "certified_height": certified["height"],
        "epoch": certified["epoch"],
        "signers": signers,
        "committee": len(committee),
    }


# ---------------------------------------------------------------- command line


def shown(text):
    """Text on one line, whatever is in it."""
    return "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def shown_value(value):
    kind, what = value
    if kind == "text":
        return shown(json.dumps(what, ensure_ascii=False))
    if kind == "bytes":
        return "0x" + what.hex()
    return str(what).lower() if kind == "boolean" else repr(what)


def shown_time(microseconds):
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds)
        return moment.isoformat(timespec="microseconds") + "Z"
    except OverflowError:
        return f"{microseconds} µs since 1970"


def report(found, genesis):
    reading = found["reading"]
    unit = "" if reading["unit"] is None else " " + shown(reading["unit"])
    sequence = "" if reading["sequence"] is None else f" (the device's number {reading['sequence']})"
    later = "" if found["certified_height"] == found["height"] else f", certified through height {found['certified_height']}"
    return "\n".join(
        [
            "the receipt holds",
            f"  device     {shown(reading['topic'])}{sequence}",
            f"  value      {shown_value(reading['value'])}{unit}",
            f"  time       {shown_time(reading['time_us'])}",
            f"  reading    {found['reading_id'].hex()}"
            + ("" if reading["signed"] is None else f"\n  device key {reading['signed']['key'].hex()}"),
            f"  message    {found['message'].hex()}",
            f"  issuer     {found['issuer'].hex()}",
            f"  milestone  height {found['height']} of {shown(genesis.name)}{later}",
            f"  confirmed  {shown_time(found['confirmed_ms'] * 1000)}",
            f"  signed by  {len(found['signers'])} of {found['committee']} validators of epoch {found['epoch']}: "
            + ", ".join(shown(name) for name in found["signers"]),
        ]
    )


def unreadable(text):
    sys.stderr.write(shown(text) + "\n")
    return 2


def text_of(raw, what):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{what} is not UTF-8") from None


def check_batch(path, genesis):
    refused = False
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line.decode("utf-8"))
                text = entry["receipt"]
                if not isinstance(text, str) or len(entry) != 1:
                    raise TypeError
            except (ValueError, KeyError, TypeError, RecursionError):
                return unreadable(f'line {number} of {path} is not {{"receipt": "<text>"}}')
            try:
                verify_receipt(text, genesis)
                print("ok")
            except Refused as why:
                refused = True
                print(f"refused: {shown(str(why))}")
    return 1 if refused else 0


def main(arguments):
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(description="Checks a wattle receipt offline.")
    parser.add_argument("receipt", nargs="?", metavar="RECEIPT.json", help="the receipt")
    parser.add_argument("--genesis", required=True, metavar="genesis.json", help="the genesis, from an operator you trust")
    parser.add_argument("--batch", metavar="FILE", help="JSON lines of receipts: one verdict a line")
    options = parser.parse_args(arguments)
    if (options.receipt is None) == (options.batch is None):
        parser.error("name a receipt, or --batch FILE")
    try:
        with open(options.genesis, "rb") as file:
            genesis = Genesis(text_of(file.read(), "the genesis"))
    except OSError as why:
        return unreadable(f"the genesis cannot be read: {why}")
    except Refused as why:
        return unreadable(f"{options.genesis} is not a genesis: {why}")
    try:
        if options.batch is not None:
            return check_batch(options.batch, genesis)
        with open(options.receipt, "rb") as file:
            raw = file.read()
        found = verify_receipt(text_of(raw, "the receipt"), genesis)
    except OSError as why:
        return unreadable(f"the receipt cannot be read: {why}")
    except Refused as why:
        sys.stderr.write(f"refused: {shown(str(why))}\n")
        return 1
    print(report(found, genesis))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
