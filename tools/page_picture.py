"""The picture of the live page in the README: `python -m tools.page_picture` makes docs/how-to/page.png anew.

A real load against a mock billing that rejects a few rows and loses a few answers, and its page in Debian's Chromium.
The names of this machine and its folder are replaced by made-up ones.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
from playwright.sync_api import ViewportSize, sync_playwright

from benchmarks import rig
from tools.house import ROOT

PICTURE: Final = ROOT / "docs" / "how-to" / "page.png"
MOST_BYTES: Final = 200_000
HOST: Final = "billing1"
BILLING: Final = "169.254.80.82"
USER: Final = "ivanova"
FILE: Final = "остатки-на-1-декабря.csv"
FAULT: Final = '[[fault]]\nmethod = "objects.create"\nkind = "{}"\nshare = {}\n'
FAULTS: Final = (
    FAULT.format("busy", 0.0025) + 'text = "Группе нельзя добавлять финансовую операцию"\n',
    FAULT.format("busy", 0.0008) + 'text = "Нет счета для проведения финансовой операции"\n',
    FAULT.format("invalid-json-after-effect", 0.0006),
)
SHOWN_FROM: Final = 0.62
"""The share of accepted rows at which the picture is taken."""
SHARE_ACCEPTED: Final = """share => {
    const number = (id) => Number(document.getElementById(id).textContent.split(",")[0].replace(/\\D/g, ""));
    return number("accepted-rows") >= share * (number("asked-rows") || Infinity);
}"""
RENAME: Final = """(names) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode())
        for (const [name, shown] of names) texts.currentNode.data = texts.currentNode.data.replaceAll(name, shown);
}"""


def run_in(folder: Path, *place: str) -> str:
    """The name of the run, once the journal has it."""
    while True:
        words = [*rig.CLI, "status", "--json", *place]
        asked = subprocess.run(words, cwd=folder, capture_output=True, check=False)  # noqa: S603 - our own
        if asked.returncode == 0 and (runs := msgspec.json.decode(asked.stdout)["runs"]):
            return str(runs[0]["run"])


def main() -> int:
    """Make the picture. Returns 1 where it has become too large."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is missing: it is Debian's package chromium")
    os.environ |= {"LOGNAME": USER, "PYTHONPATH": str(ROOT)}
    with rig.billing(6_000, slots=10, latency_ms=120.0) as billing, sync_playwright() as playwright:
        folder, place = billing.folder, ("--journal", str(billing.folder / "journal"))
        rows = [f"{key};{(key * 7919) % 290_000 / 100 - 300:.2f}".replace(".", ",") for key in billing.ids]
        (folder / FILE).write_text("\n".join(["abonent_id;amount", *rows]) + "\n", encoding="utf-8")
        billing.ask("PUT", "/faults", "".join(FAULTS).encode())
        load = ("run", "balances", FILE, "--yes", "--quiet", "--set", "op_type=2", "--settle", "600")
        where = ("--api-url", billing.url, "--database", rig.DATABASE, *place)
        with rig.started([*rig.CLI, *load, *where], folder):
            run = run_in(folder, *place)
            with rig.started([*rig.CLI, "page", run, "--json", "--lang", "ru", *place], folder) as page:
                address = msgspec.json.decode(rig.line_of(page))["address"]
                flags = ["--no-sandbox"] if os.geteuid() == 0 else []
                browser = playwright.chromium.launch(executable_path=chromium, args=flags)
                size: ViewportSize = {"width": 1280, "height": 830}
                tab = browser.new_page(viewport=size, color_scheme="light", locale="ru-RU")
                tab.set_default_timeout(600_000)
                tab.goto(address)
                tab.wait_for_function(SHARE_ACCEPTED, arg=SHOWN_FROM)
                tab.evaluate(RENAME, [[f"{folder}/", ""], [socket.gethostname(), HOST], ["127.0.0.1", BILLING]])
                taken = len(tab.screenshot(path=PICTURE))
                browser.close()
    print(f"{PICTURE.relative_to(ROOT)}: {taken:,} bytes")  # noqa: T201 - a tool of the developers
    return int(taken > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
