"""What schemathesis does not know by itself."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, value):
    """The body is one text, whatever stands in its lines."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
