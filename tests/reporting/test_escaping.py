from hypothesis import given
from hypothesis import strategies as st

from prune_kit.reporting.escaping import spelled_out


def test_signs_that_command_a_terminal_or_turn_a_line_around_are_spelled_out():
    assert spelled_out("\x1b[31mred\x07\u202e") == "\\u001b[31mred\\u0007\\u202e"
    assert spelled_out("naïve 猫 \U0001f408") == "naïve 猫 \U0001f408"
    assert spelled_out("a\nb") == "a\\u000ab" and spelled_out("a\nb", lines=True) == "a\nb"


@given(st.text())
def test_nothing_hidden_is_left(text):
    assert not set(spelled_out(text)) & {
        chr(number) for number in (*range(32), *range(127, 160), 0x202E)
    }
