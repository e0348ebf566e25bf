"""Data forms: any element is one, or ValueError; and one that is can be written again."""

from random import Random

from pushd.wire import forms
from pushd.wire.element import Element, MalformedXML, parse, serialize
from tests.fuzz import grammar

TOKENS = grammar.TOKENS + tuple(
    token.encode()
    for token in (
        *("<x xmlns='jabber:x:data' type='submit'>", "<field var='a'>", "<value>1</value>"),
        *(
            "</field>",
            "</x>",
            "<item>",
            "</item>",
            "<reported/>",
            "var='FORM_TYPE'",
            "type='fixed'",
        ),
    )
)


def write(random: Random) -> bytes:
    return grammar.form(random, ("FORM_TYPE", "a", "b", "", "\u00e9", "x" * 80)).encode()


def one(data: bytes) -> None:
    try:
        tree = parse(data)
    except MalformedXML:
        return
    form = _read(tree)
    try:
        found = forms.find(tree)
        assert found is None or forms.find(tree, found.form_type) is not None
    except ValueError as error:
        _check_words(error)
    if form is None:
        return
    for name in form.fields:
        for ask in (form.one, form.boolean):
            try:
                ask(name)
            except ValueError as error:
                _check_words(error)
    assert forms.FORM_TYPE not in form.fields
    again = _read(parse(serialize(forms.submit(form.form_type, form.fields))))
    assert again is not None
    assert (again.form_type, again.fields) == (form.form_type, form.fields)
    table = forms.result(form.form_type, {}, [*form.fields], form.items)
    shown = _read(parse(serialize(table)))
    assert shown is not None
    assert shown.items == form.items


def _read(tree: Element) -> forms.Form | None:
    try:
        return forms.read(tree)
    except ValueError as error:
        _check_words(error)
        return None


def _check_words(error: ValueError) -> None:
    assert type(error) is ValueError
    assert 0 < len(str(error)) < 200
