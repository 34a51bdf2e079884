"""A real SMTP server for the tests: STARTTLS or implicit TLS, and AUTH before anything is taken.

Prints its port, writes every mail as one line of JSON, and ends when its standard input does.

  smtp_server.py --mails FILE --certificate PEM --key PEM --user NAME --password WORD --mechanism PLAIN|LOGIN [--implicit-tls]

Mailboxes that start with `unknown` are refused for ever, those that start with `greylisted` once.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Handler:
    def __init__(self, path, implicit_tls):
        self.path = path
        self.implicit_tls = implicit_tls
        self.greylisted = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("greylisted") and address not in self.greylisted:
            self.greylisted.add(address)
            return "451 4.7.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [
            {"type": part.get_content_type(), "text": part.get_content()}
            for part in message.walk()
            if not part.is_multipart()
        ]
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data,
            "tls": self.implicit_tls or session.ssl is not None,
            "type": message.get_content_type(),
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "parts": parts,
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 2.0.0 taken"


async def main():
    parser = argparse.ArgumentParser()
    for name in ("mails", "certificate", "key", "user", "password", "mechanism"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--implicit-tls", action="store_true")
    options = parser.parse_args()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)

    def authenticate(server, session, envelope, mechanism, data):
        right = LoginPassword(options.user.encode(), options.password.encode())
        if data == right:
            return AuthResult(success=True, auth_data=f"{mechanism} {options.user}")
        return AuthResult(success=False, handled=False)

    handler = Handler(options.mails, options.implicit_tls)

    def protocol():
        return SMTP(
            handler,
            hostname="localhost",
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=not options.implicit_tls,
            auth_exclude_mechanism=[name for name in ("PLAIN", "LOGIN") if name != options.mechanism],
            tls_context=None if options.implicit_tls else context,
            require_starttls=not options.implicit_tls,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if options.implicit_tls else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()

    def watch_parent():
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch_parent, daemon=True).start()
    await ended.wait()


asyncio.run(main())
