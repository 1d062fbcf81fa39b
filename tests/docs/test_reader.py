"""The reader of pages: it does what each form of a block and a comment means, and fails where a page is wrong."""

from pathlib import Path

import anyio
import pytest

from tests.docs.blocks import Page, Remark
from tests.docs.reader import ADDRESS, read

A_PAGE = f"""\
# A page

<!-- file rows.csv -->
```csv
contract_number;amount
00003;1,50
00004;2,00
```

<!-- added to carbon-migrate.toml -->
```toml
[report]
organisation = "Тула"
```

```sh
carbon-migrate jobs | grep -q balances   # a pipe
while read line; do
  echo "$line"
done < rows.csv > copy.csv && cmp rows.csv copy.csv
cat <<END > note.txt
{ADDRESS}
END
```

<!-- ends with 2 -->
```sh
carbon-migrate run balances rows.csv --no-such-option
```

<!-- not run: another machine -->
```sh
rm -rf /nothing/of/this/machine && false
```

<!-- answered: y -->
```console
$ carbon-migrate run balances rows.csv
to send    2 rows, …3.50…
✓ run k7m2q is …
```

```console
$ carbon-migrate verify k7m2q
✓ run k7m2q is applied: 2 rows read back as sent
$ carbon-migrate undo RUN --yes
```

<!-- first, killed after 13 calls: carbon-migrate run balances balances.csv --skip-bad --yes --rate 20 -->
```console
$ carbon-migrate status
run …
```

<!-- in another terminal, until 9 calls -->
```sh
carbon-migrate resume --yes --rate 2 --settle 0
```

<!-- then the other terminal ends with 130 -->
```sh
carbon-migrate stop RUN
```
"""


@pytest.mark.prove
async def test_a_page_is_done_as_its_blocks_and_comments_say(tutorial_billing: Path, tmp_path: Path) -> None:
    reader = await read(page_of(A_PAGE, tmp_path), tutorial_billing, tmp_path)
    folder = anyio.Path(reader.cli.folder)
    assert (await (folder / "note.txt").read_text()).strip() == reader.addresses[ADDRESS] != ADDRESS
    assert "Тула" in await (folder / "carbon-migrate.toml").read_text(encoding="utf-8")
    assert reader.runs["k7m2q"] != reader.runs["RUN"]


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
    page = page_of(f"<!-- no billing -->\n\n{block}\n", tmp_path)
    with pytest.raises(AssertionError):
        await read(page, tmp_path, tmp_path)


@pytest.mark.parametrize("comment", ["end with 1", "not run", "killed after few calls", "file a.csv b.csv", "todo"])
def test_a_comment_of_no_form_is_refused(comment: str) -> None:
    with pytest.raises(ValueError, match=comment):
        Remark.read(comment)


def page_of(text: str, folder: Path) -> Page:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return Page.read(path)
