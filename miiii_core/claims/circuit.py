"""What Nanda et al. report of modular addition, which the paper builds on."""

from ..addition.formation import Phases, circuit_forms
from ..addition.published import NANDA
from ..addition.survey import measures
from ..storage.saved import Run
from .ledger import Claim, Measure, Measured, Published, Values, Verdict, decide, mostly

FORMS = "circuit formation: restricted loss and weights fall, excluded loss rises"
LATEST = ", at the latest"  # of the end of a phase, which lies between two records
# Published too: of the heads not only the least, and key frequencies of other seeds.
MOST_OF_HEADS = "greatest share of a head's weights at one frequency"
ALSO: Published = {MOST_OF_HEADS: 0.991, NANDA["key_frequencies"].what: "5, on other seeds 3 to 4"}


def _circuit(run: Run) -> Measured:
    found = measures(run)
    forms = circuit_forms(found.epochs, found.history, found.phases)
    values: dict[str, float] = {FORMS: forms, MOST_OF_HEADS: float(found.head_share.max())}
    for name, (low, high) in found.ours.items():
        values[NANDA[name].what] = low
        if name in Phases._fields:  # of every run, so that seeds can be compared
            values[NANDA[name].what + LATEST] = high
    return values


def _judge_circuit(values: Values) -> Verdict:
    return decide(
        *(
            known.agrees(values[known.what], values.get(known.what + LATEST, values[known.what]))
            for known in NANDA.values()
        ),
        mostly(values[FORMS]),
        given=values[NANDA["key_frequencies"].what] > 0,
    )


CLAIMS = (
    Claim(
        key="nanda-circuit",
        statement="addition modulo p is done by a circuit of a few key frequencies, from the "
        "embedding to the logits, which forms in three phases",
        source="Background, after Nanda et al.",
        criterion="each measure lies in an interval around the published one, an epoch within a "
        "factor of two, and while the circuit forms restricted loss and weights fall and excluded "
        "loss rises; partly: some of this holds",
        judge=_judge_circuit,
        measures=(Measure(needs=("nanda",), of=_circuit, snapshots=True),),
        published={**{known.what: known.value for known in NANDA.values()}, **ALSO},
        page="circuit",
        figure="fig-progress",
    ),
)
