"""What Lambda's Python runtime offers to programs that start from a snapshot, and what it does with
it.
"""

before, after = [], []


def register_before_snapshot(function, *args, **kwargs):
    before.insert(0, lambda: function(*args, **kwargs))


def register_after_restore(function, *args, **kwargs):
    after.append(lambda: function(*args, **kwargs))
