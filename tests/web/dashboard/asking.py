"""Requests as a browser makes them, and answers as it reads them, without a socket."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from urllib.parse import urlencode

PASSWORD = "correct horse"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: list
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Browser:
    """Keeps cookies, and speaks WSGI with an application."""

    def __init__(self, application, *, host="localhost:8765", scheme="http", client="127.0.0.1"):
        self.application = application
        self.host, self.scheme, self.client = host, scheme, client
        self.cookies = {}
        self.set_cookies = []

    def get(self, path="/", **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, form=(), **headers):
        body = urlencode(form).encode()
        return self.ask("POST", path, body=body, content_type="application/x-www-form-urlencoded", **headers)

    def ask(self, method, path, *, body=b"", content_type="", **headers):
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": query,
            "HTTP_HOST": self.host,
            "REMOTE_ADDR": self.client,
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": self.scheme,
        }
        if self.cookies:
            environ["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        told = {}

        def start(status, sent):
            told["status"], told["headers"] = int(status.split()[0]), sent

        content = b"".join(self.application(environ, start))
        for name, value in told["headers"]:
            if name == "Set-Cookie":
                self._keep(value)
        return Answer(told["status"], told["headers"], content)

    def _keep(self, cookie):
        self.set_cookies.append(cookie)
        name, _, value = cookie.partition(";")[0].partition("=")
        if "Max-Age=0" in cookie:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def token_of(answer):
    """Return the token in the form of a page."""
    return re.search(r'name="token" value="([^"]+)"', answer.text)[1]


def sign_in(browser, text=PASSWORD, *, onward="/", **headers):
    """Ask for the form, send it with a password, and return the answer."""
    token = token_of(browser.get("/login"))
    return browser.post("/login", {"token": token, "password": text, "next": onward}, **headers)
