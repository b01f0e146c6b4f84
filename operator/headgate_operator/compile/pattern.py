"""Whether a model's name, or a pattern with one `*`, covers a name: the gateways' own rule, said again here
since the operator may not import their engine. Asked for targets and for fallbacks.
"""


def matches(pattern: str, model: str) -> bool:
    """The star stands for any text, also for none."""
    head, star, tail = pattern.partition("*")
    if not star:
        return pattern == model
    return len(model) >= len(head) + len(tail) and model.startswith(head) and model.endswith(tail)
