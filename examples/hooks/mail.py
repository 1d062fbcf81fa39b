#!/usr/bin/env python3
"""A hook of carbon-migrate that sends a mail: mail.py TO [FROM].

It hands it to `sendmail`, as postfix, exim and msmtp have it.

on-person = ["/etc/carbon-migrate/mail.py", "billing@example.org"]
"""

import json
import subprocess
import sys
from email.message import EmailMessage


def main() -> int:
    """Read the message of the hook, and send it."""
    told = json.load(sys.stdin)
    mail = EmailMessage()
    mail["To"] = sys.argv[1]
    if len(sys.argv) > 2:  # noqa: PLR2004 - the second word of the command
        mail["From"] = sys.argv[2]
    mail["Subject"] = f"carbon-migrate, {told['host']}: {told['event']} {told['run']}"
    lines = [told["text"], "", *told.get("commands", []), "", f"{told['billing']}, {told['source']}"]
    mail.set_content("\n".join(lines) + "\n")
    return subprocess.run(["sendmail", "-i", "-t"], input=mail.as_bytes(), check=False).returncode  # noqa: S607 - of the system


if __name__ == "__main__":
    sys.exit(main())
