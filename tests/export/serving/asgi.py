"""Requests to the gateway's application in this process, without a socket."""

import json

from export.serving.http_app import Gateway


class App:
    """The application of a gateway.

    Args:
        backend: Its backend.
        gateway: The gateway, if it exists.
    """

    def __init__(self, backend, gateway=None):
        self._app = (gateway or Gateway(backend)).application()

    async def request(self, body, path="/recommend", method="POST", **headers):
        """Returns the status, the headers and the body of the response."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | headers
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(n.encode(), v.encode()) for n, v in headers.items()],
        }
        messages = []

        async def receive():
            return {"type": "http.request", "body": content}

        async def send(message):
            messages.append(message)

        await self._app(scope, receive, send)
        start, *parts = messages
        received = {n.decode(): v.decode() for n, v in start["headers"]}
        return start["status"], received, b"".join(part["body"] for part in parts)

    async def json(self, body, **options):
        """Returns the status and the decoded body."""
        status, _, content = await self.request(body, **options)
        return status, json.loads(content)
