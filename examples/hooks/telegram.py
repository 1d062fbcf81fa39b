#!/usr/bin/env python3
"""A hook of carbon-migrate that writes to a Telegram chat: telegram.py CHAT.

The token of the bot is read from the file that TELEGRAM_TOKEN_FILE names, else from TELEGRAM_TOKEN; never give it as
a word of the command, which everybody on the machine can see.

on-person = ["/etc/carbon-migrate/telegram.py", "-1001234567890"]
"""

import json
import os
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

LONGEST = 4000
"""Characters of a message that Telegram takes."""


def token() -> str:
    """The token of the bot."""
    if file := os.environ.get("TELEGRAM_TOKEN_FILE"):
        return Path(file).read_text(encoding="ascii").strip()
    return os.environ["TELEGRAM_TOKEN"]


def main() -> int:
    """Read the message of the hook, and send it; what goes wrong is said without the address, which has the token."""
    told = json.load(sys.stdin)
    text = "\n".join([told["text"], *told.get("commands", [])])
    body = json.dumps({"chat_id": sys.argv[1], "text": text[:LONGEST]}).encode()
    api = os.environ.get("TELEGRAM_API", "https://api.telegram.org")
    request = Request(f"{api}/bot{token()}/sendMessage", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urlopen(request, timeout=8):  # noqa: S310 - the address stands above
            return 0
    except HTTPError as error:
        why = f"Telegram answered {error.code}"
        error.close()
    except (URLError, TimeoutError) as error:
        why = f"Telegram cannot be reached: {getattr(error, 'reason', error)}"
    sys.stderr.write(f"{why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
