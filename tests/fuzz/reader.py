"""A second opinion on XML: a small reader of our own, which shares nothing with expat.

It reads what the plain form may hold and no more: elements, attributes, text, the five
entities and character references. What another parser could stumble over is a ValueError.
"""

import re
from typing import Any

XML = "http://www.w3.org/XML/1998/namespace"
_PAIR = r"[^\s<>/='\"&]+[ \t\n]*=[ \t\n]*(?:'[^'<]*'|\"[^\"<]*\")"
_TAG = re.compile(rf"<(/?)([^\s<>/='\"&]+)((?:[ \t\n]+{_PAIR})*)[ \t\n]*(/?)>")
_ATTRIBUTE = re.compile(r"([^ \t\n=]+)[ \t\n]*=[ \t\n]*('[^']*'|\"[^\"]*\")")
_REFERENCE = re.compile(r"&([^;&]*)(;?)")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "apos": "'", "quot": '"'}

# Name, attributes, text, and the children, each with the text behind it.
Meaning = tuple[str, list[tuple[str, str]], str, list[Any]]


def read(data: bytes, prefixes: dict[str, str]) -> Meaning:
    """The one element of `data`, where these prefixes are declared ("" for the default).

    Names are written `{namespace}local`. Raises ValueError.
    """
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    root: list[Any] = ["", [], "", []]
    stack: list[tuple[str, list[Any], dict[str, str]]] = [("", root, prefixes)]
    place = 0
    while place < len(text):
        begin = text.find("<", place)
        if begin != place:
            _add_text(stack[-1][1], text[place : begin if begin >= 0 else len(text)])
        if begin < 0:
            break
        tag = _TAG.match(text, begin)
        if tag is None:
            raise ValueError(f"not a tag: {text[begin : begin + 40]!r}")
        place = tag.end()
        closing, name, attributes, empty = tag.groups()
        if closing:
            if stack.pop()[0] != name or attributes or empty or not stack:
                raise ValueError("the tags do not match")
            continue
        node, scope = _opened(name, attributes, stack[-1][2])
        stack[-1][1][3].append([node, ""])
        if not empty:
            stack.append((name, node, scope))
    if len(stack) != 1 or root[2] or len(root[3]) != 1 or root[3][0][1]:
        raise ValueError("not exactly one element")
    return _frozen(root[3][0][0])


def _opened(name: str, written: str, scope: dict[str, str]) -> tuple[list[Any], dict[str, str]]:
    pairs = [
        (key, _resolved(re.sub(r"[\t\n]", " ", value[1:-1])))
        for key, value in _ATTRIBUTE.findall(written)
    ]
    declared = {
        key.partition(":")[2]: value for key, value in pairs if key.partition(":")[0] == "xmlns"
    }
    scope = {**scope, **declared} if declared else scope
    attributes = [
        (_expanded(key, scope, ""), value)
        for key, value in pairs
        if key.partition(":")[0] != "xmlns"
    ]
    if len({key for key, _ in attributes}) < len(attributes):
        raise ValueError("an attribute twice")
    return [_expanded(name, scope, scope.get("", "")), sorted(attributes), "", []], scope


def _expanded(name: str, scope: dict[str, str], default: str) -> str:
    prefix, colon, local = name.rpartition(":")
    if ":" in prefix or not local or (colon and not prefix):
        raise ValueError(f"not a name: {name!r}")
    uri = (XML if prefix == "xml" else scope[prefix]) if colon else default
    return f"{{{uri}}}{local}" if uri else local


def _resolved(text: str) -> str:
    def resolve(found: re.Match[str]) -> str:
        name, end = found.groups()
        if not end:
            raise ValueError("an ampersand alone")
        if name.startswith("#x"):
            return chr(int(name[2:], 16))
        return chr(int(name[1:])) if name.startswith("#") else _ENTITIES[name]

    try:
        return _REFERENCE.sub(resolve, text) if "&" in text else text
    except (KeyError, OverflowError):
        raise ValueError("an entity that is none") from None


def _add_text(node: list[Any], text: str) -> None:
    if "]]>" in text:
        raise ValueError("the end of a CDATA section in text")
    if node[3]:
        node[3][-1][1] += _resolved(text)
    else:
        node[2] += _resolved(text)


def _frozen(node: list[Any]) -> Meaning:
    children = [(_frozen(one), behind) for one, behind in node[3]]
    return node[0], node[1], node[2], children
