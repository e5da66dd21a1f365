"""What Nanda et al. report of modular addition, which the paper builds on."""

from ..addition import measures
from ..published import NANDA
from ..storage import Run
from .ledger import Claim, Measure, Measured, Values, Verdict, decide

LATEST = ", at the latest"  # of an epoch that lies between two records


def _circuit(run: Run) -> Measured:
    values: dict[str, float] = {}
    for name, (low, high) in measures(run).ours.items():
        values[NANDA[name].what] = low
        if high != low:
            values[NANDA[name].what + LATEST] = high
    return values


def _judge_circuit(values: Values) -> Verdict:
    return decide(
        *(
            known.agrees(values[known.what], values.get(known.what + LATEST, values[known.what]))
            for known in NANDA.values()
        ),
        given=values[NANDA["key_frequencies"].what] > 0,
    )


CLAIMS = (
    Claim(
        key="nanda-circuit",
        statement="addition modulo p is done by a circuit of a few key frequencies, from the "
        "embedding to the logits, which forms in three phases",
        source="Background, after Nanda et al.",
        criterion="each measure lies in an interval around the published one, an epoch within a "
        "factor of two; partly: some do",
        judge=_judge_circuit,
        measures=(Measure(needs=("nanda",), of=_circuit),),
        published={known.what: known.value for known in NANDA.values()},
        page="circuit",
        figure="fig-progress",
    ),
)
