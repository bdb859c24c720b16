"""What would keep a user from working, found in what the world answered. Pure.

`jupyter_kuberay.backends.examine` asks; here each answer becomes a sentence,
and what is wrong also one that says what to do. What is not ours to see is
never called wrong.
"""

from __future__ import annotations

from jupyter_kuberay.backends.examine import Answers
from jupyter_kuberay.backends.local.answers import Answers as MachineAnswers
from jupyter_kuberay.doctor import machine, namespace
from jupyter_kuberay.doctor.finding import Finding, Level
from jupyter_kuberay.doctor.offers import Offer, offers
from jupyter_kuberay.preflight import Versions

__all__ = ["Finding", "Level", "Offer", "findings", "healthy", "offers"]


def findings(answers: Answers, kernel: Versions, offered: tuple[Offer, ...] = ()) -> tuple[Finding, ...]:
    """What was found, in the order in which one thing needs the next.

    Parameters
    ----------
    kernel
        Ray and Python here.
    offered
        What the administrator's profiles bring.
    """
    if isinstance(answers, MachineAnswers):
        return machine.findings(answers, kernel)
    return namespace.findings(answers, kernel, offered)


def healthy(found: tuple[Finding, ...]) -> bool:
    """Whether nothing keeps the user from working."""
    return not any(one.level is Level.BAD for one in found)
