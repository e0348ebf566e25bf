"""What strangers have worded, made fit for a line of a log or of a terminal."""


def printable(text: str) -> str:
    """The text, with a question mark for whatever is no printable character."""
    return "".join(one if one.isprintable() else "?" for one in text)
