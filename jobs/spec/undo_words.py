"""The words by which a run tells that it takes another one back; whoever looks at runs needs no more of a job."""

from typing import Final

UNDO: Final = "undo"
"""The name of the job that takes a run back."""
WAY: Final = "way"
"""The parameter of an undo that names the way back."""
LIST: Final = "list"
"""The way back that sends nothing: the rows are listed for the accountant."""
