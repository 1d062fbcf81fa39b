"""What the lab states of the program is what the command line has."""

from cli.terminal import texts
from cli.terminal.exits import Exit
from lab.crash import program


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    assert {code.name: code.value for code in program.ExitCode} == {code.name: code.value for code in Exit}


def test_the_names_are_those_of_the_command_line() -> None:
    assert (program.PROGRAM, program.JOURNAL) == (texts.PROGRAM, texts.JOURNAL)
    names = (texts.API_URL, texts.DATABASE, texts.JOURNAL_FILE)
    assert names == (program.API_URL, program.DATABASE, program.JOURNAL_FILE)


def test_no_setting_of_the_command_line_gets_into_the_environment_of_a_load() -> None:
    settings = {
        value for name, value in vars(texts).items() if isinstance(value, str) and value.startswith("CARBON_")
    }
    assert len(settings) >= 6
    assert program.without_settings({**dict.fromkeys(settings, "x"), "PATH": "/bin"}) == {"PATH": "/bin"}
