"""A message by Apprise, as a program of its own: what hangs in a library can only be killed as a process.

It is started by its path, where Apprise is installed, and imports nothing of ours. Its standard input is one JSON
object: the address, which is a secret and no word of a command, with the title and the body of the message.
"""

import json
import logging
import sys


def main() -> int:
    """Send the message; the exit code says whether it was taken. Nothing of the address is written anywhere."""
    # Imported here: what is missing or broken of it is a failure of this process alone.
    import apprise  # noqa: PLC0415

    # Apprise logs addresses.
    logging.disable()
    told = json.load(sys.stdin)
    sender = apprise.Apprise()
    if not sender.add(told["url"]):
        sys.stderr.write("Apprise does not know such an address\n")
        return 1
    if not sender.notify(title=told["title"], body=told["body"]):
        sys.stderr.write("Apprise could not deliver it\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
