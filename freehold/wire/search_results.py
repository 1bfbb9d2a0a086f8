"""Search results as clients send them in the result of a tool (BEHAVIOUR 5.7)."""

from freehold.wire.content import SearchResultBlock


def check_search_result(block: object) -> object:
    """Raises ValueError for one that the model's provider would refuse in every later turn. Other
    blocks pass.
    """
    if not isinstance(block, SearchResultBlock):
        return block
    if not block.source.strip() or not block.title.strip():
        raise ValueError("source and title must not be empty")
    if not block.content or not all(part.text.strip() for part in block.content):
        raise ValueError("content must have text")
    return block
