"""Bodies that are no batch, too much of one, or compressed in a way that they are not."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from unify_grpc.http.tracking_routes import BATCH_BYTES_MAX

DEEP: Final = 100_000
EVENT: Final = b'{"type":"track","event":"E","userId":"u","messageId":"m"}'
ONE: Final = b'{"batch":[%s]}' % EVENT
#: About as much as a batch may have.
MUCH: Final = BATCH_BYTES_MAX - 20_000
BEYOND_UTF8 = {
    "UTF-16 without a mark": '{"batch":[]}'.encode("utf-16-le"),
    "UTF-32": '{"batch":[]}'.encode("utf-32"),
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "half a mark": b"\xef\xbb{}",
    "surrogates as UTF-8": b'{"batch":[],"sentAt":"\xed\xa0\x80"}',
    "a character of five bytes": b'{"batch":[],"sentAt":"\xf8\x88\x80\x80\x80"}',
    "beyond the last character": b'{"batch":[],"sentAt":"\xf4\x90\x80\x80"}',
    "a character cut short": b'{"batch":[],"sentAt":"\xf0\x9f\x98"}',
    "latin-1": '{"batch":[],"sentAt":"ü"}'.encode("latin-1"),
    "NUL behind": b'{"batch":[]}\x00',
    "NUL before": b'\x00{"batch":[]}',
    "other blanks": '{\u00a0"batch":[]}'.encode(),
    "form fields": b"batch=%5B%5D&userId=u",
    "XML": b'<?xml version="1.0"?><batch/>',
    "a multipart body": b"--x\r\n\r\n{}\r\n--x--\r\n",
    "lines of JSON": b'{"batch":[]}\n{"batch":[]}\n',
    "no batch": b"{}",
    "a batch that is none": b'{"batch":{}}',
    "a batch of null": b'{"batch":null}',
    "commas alone": b'{"batch":[,]}',
    "a gap": b'{"batch":[{},,{}]}',
    "a comma before": b'{"batch":[,{}]}',
    "a comma behind": b'{"batch":[{},]}',
    "a key without quotes": b"{batch:[]}",
    "a number for a key": b'{1:2,"batch":[]}',
    "a bracket that does not fit": b'{"batch":[}]',
    "a string without an end": b'{"batch":["',
    "an escape at the end": b'{"batch":["\\',
    "a comment": b'{"batch":[]}//',
    "a context that is none": b'{"batch":[{}],"context":[1]}',
}
#: What is large, deep or long in the outside of a batch, or all of it.
MUCH_OF_IT = {
    "arrays": b"[" * MUCH,
    "arrays that end": b"[" * (MUCH // 2) + b"]" * (MUCH // 2),
    "objects": b'{"a":' * (MUCH // 5),
    "objects that end": b'{"a":' * (MUCH // 6) + b"1" + b"}" * (MUCH // 6),
    "both by turns": b'[{"a":' * (MUCH // 6),
    "a deep context": b'{"batch":[%s],"context":{"a":' % EVENT + b"[" * DEEP,
    "a deep context that ends": b'{"batch":[%s],"context":{"a":' % EVENT
    + b"[" * DEEP
    + b"]" * DEEP
    + b"}}",
    "a deep time": b'{"batch":[%s],"sentAt":' % EVENT + b"[" * DEEP + b"]" * DEEP + b"}",
    "a deep key": b'{"batch":[%s],"writeKey":' % EVENT + b'{"a":' * DEEP,
    "commas": b'{"batch":[' + b"," * MUCH,
    "quotes": b'{"batch":[' + b'"' * MUCH,
    "backslashes": b'{"batch":["' + b"\\" * MUCH,
    "colons": b'{"batch"' + b":" * MUCH,
    "blanks": b" " * MUCH,
    "digits": b'{"batch":[],"sentAt":' + b"1" * MUCH + b"}",
    "more numbers than events": b'{"batch":[' + b"0," * (MUCH // 2) + b"0]}",
    "more of both than events, and broken": b'{"batch":[' + b"0," * (MUCH // 2) + b"NaN]}",
    "members, and broken": b"{" + b'"":0,' * (MUCH // 5) + b'"a":NaN,"batch":[]}',
    "more nulls than events": b'{"batch":[' + b"null," * (MUCH // 5) + b"null]}",
}
#: The same, and taken.
MUCH_THAT_IS_TAKEN = {
    "keys": b"{" + b"".join(b'"%d":0,' % at for at in range(MUCH // 10)) + b'"batch":[%s]}' % EVENT,
    "one key many times": b"{" + b'"a":0,' * (MUCH // 6) + b'"batch":[%s]}' % EVENT,
    "a long key": b'{"%s":0,"batch":[%s]}' % (b"a" * MUCH, EVENT),
    "a long text": b'{"a":"%s","batch":[%s]}' % (b"a" * MUCH, EVENT),
    "escapes": b'{"a":"%s","batch":[%s]}' % (b"\\u0061" * (MUCH // 6), EVENT),
    "a long fraction": b'{"a":0.%s,"batch":[%s]}' % (b"1" * MUCH, EVENT),
    "blanks inside": b'{"batch":%s[%s]}' % (b" " * MUCH, EVENT),
    "batches": b"{" + b'"batch":[],' * (MUCH // 11) + b'"batch":[%s]}' % EVENT,
    "duplicate keys of an event": b'{"batch":[%s]}' % EVENT.replace(b"{", b"{" + b'"a":0,' * 4000),
}


def damaged(at: int, *, body: bytes = ONE) -> bytes:
    """Returns a compressed body with one byte changed."""
    packed = bytearray(gzip.compress(body, mtime=0))
    packed[at] ^= 0xFF
    return bytes(packed)


COMPRESSED_WRONG = {
    "a wrong checksum": damaged(-8),
    "a wrong length": damaged(-4),
    "a wrong method": damaged(2),
    "reserved flags": damaged(3),
    "damage inside": damaged(12),
    "without its end": gzip.compress(ONE)[:-8],
    "half of its end": gzip.compress(ONE)[:-3],
    "its head alone": gzip.compress(ONE)[:10],
    "one byte": b"\x1f",
    "two members": gzip.compress(ONE) + gzip.compress(b""),
    "a thousand members": gzip.compress(b" ") * 1000,
    "an endless name": b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"a" * 100_000,
    "an endless extra field": b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\xff\xff" + b"a" * 60_000,
    "zeros behind": gzip.compress(ONE) + bytes(512),
    "raw deflate": zlib.compress(ONE)[2:-4],
    "empty blocks": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0\0\0\xff\xff" * 80_000,
    "not compressed": ONE,
}


def bomb(megabytes: int) -> bytes:
    """Returns zeros compressed, by writing one block again and again; its checksum is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + head * megabytes + b"\x03\0" + bytes(8)
