"""Each command of tutorials and how-to pages is typed, and says what its page shows, in each language."""

from collections import Counter
from pathlib import Path

import pytest

from lab.mock.population import create
from tests.docs.blocks import KNOWN, TYPED, Page, Remark, comments_of, pages
from tests.docs.reader import read
from tools.pages import DOCS, LANGUAGES

REASONS = {
    "a billing that was put back": "it needs the billing's backup; tests/cli/test_billing_put_back.py types the same",
    "another machine": "it is typed at a machine that a test has not",
    "for ever": "it ends with the machine",
    "mail": "it hands a mail to the mail server of its machine",
    "minutes": "it takes a minute, and has tests of its own",
    "packages": "it installs something, for which tests have no network",
    "systemd": "it speaks to the service manager, which a container has not",
    "real billing": "it shows the address of a billing that is not a mock",
    "vendor's tool": "it needs a program that the vendor's machine has",
}
"""Why a block is not run; another reason is added here with what it means."""
MOST_NOT_RUN = 0.25
"""Of all blocks of commands."""

RUN = pages()


@pytest.fixture(scope="session")
def tutorial_billing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mock init --abonents 100` makes; to be copied."""
    path = tmp_path_factory.mktemp("tutorial") / "billing.fdb"
    create(path, subscribers=100, seed=1)
    return path


def name_of(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def cases() -> list[Page]:
    """The pages, each once: in another language where it shows or does something else in that."""
    others = [Page.read(path, language) for language in LANGUAGES for path in RUN]
    shown = {page.path for page in others if page.differs}
    english = [Page.read(path) for path in RUN if path not in shown]
    return [page for page in (*english, *(one for one in others if one.differs)) if page.steps]


@pytest.mark.prove
@pytest.mark.parametrize("page", cases(), ids=lambda page: f"{name_of(page.path)}-{page.language}")
async def test_each_command_does_what_its_page_shows(page: Page, tutorial_billing: Path, tmp_path: Path) -> None:
    await read(page, tutorial_billing, tmp_path)


@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_each_block_of_a_page_says_what_it_is_and_each_comment_is_read(path: Path) -> None:
    for comment in comments_of(path):
        Remark.read(comment)
    unknown = [block.line for block in Page.read(path).blocks if block.kind not in {*KNOWN, "table"}]
    assert unknown == [], f"{name_of(path)}: blocks in these lines need ```sh, ```console, ```toml …"


def test_few_blocks_are_not_run_and_each_has_a_reason() -> None:
    blocks = [block for path in RUN for block in Page.read(path).blocks if block.kind in TYPED]
    reasons = Counter(remark.text for block in blocks if (remark := block.of("not run")))
    assert set(reasons) <= set(REASONS)
    assert reasons.total() <= MOST_NOT_RUN * len(blocks)


@pytest.mark.parametrize(
    "block",
    [
        "```console\n$ carbon-migrate --version\nversion 0.0.0\n```",
        "```console\n$ carbon-migrate jobs balances\nbalances\nno such line\n```",
        "<!-- ends with 1 -->\n```sh\ncarbon-migrate --version\n```",
        "```sh\ncarbon-migrate --no-such-option\n```",
        "```sh\nfalse | true && false\n```",
        "<!-- in another terminal -->\n<!-- then the other terminal ends with 4 -->\n```sh\ncarbon-migrate\n```",
    ],
)
async def test_what_does_not_do_as_its_page_says_fails(block: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"<!-- no billing -->\n\n{block}\n", encoding="utf-8")
    with pytest.raises(AssertionError):
        await read(Page.read(path), tmp_path, tmp_path)
