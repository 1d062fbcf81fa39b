"""What the lab states of the program is what the command line has."""

from cli.terminal import language, texts
from cli.terminal.exits import Exit
from lab.crash import program
from texts import remedies


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    assert {code.name: code.value for code in program.ExitCode} == {code.name: code.value for code in Exit}


def test_the_names_are_those_of_the_command_line() -> None:
    assert program.JOURNAL == texts.JOURNAL
    names = (texts.API_URL, remedies.DATABASE, texts.JOURNAL_FILE, language.VARIABLE, language.ENGLISH)
    assert names == (program.API_URL, program.DATABASE, program.JOURNAL_FILE, program.LANGUAGE, program.ENGLISH)


def test_no_setting_of_the_command_line_gets_into_the_environment_of_a_load() -> None:
    settings = {
        value
        for value in (vars(texts) | vars(remedies)).values()
        if isinstance(value, str) and value.startswith("CARBON_")
    }
    assert len(settings) >= 6
    given = {**dict.fromkeys(settings, "x"), "PATH": "/bin"}
    assert program.without_settings(given) == {"PATH": "/bin", program.LANGUAGE: program.ENGLISH}
