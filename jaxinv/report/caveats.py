"""What a report takes for granted, and what a reader has to know before he believes it."""

import re
from collections import Counter

from jaxinv.envs.costs import COSTS
from jaxinv.policies.theirs import OWN_ORDERS
from jaxinv.report.evidence import Evidence
from jaxinv.report.findings import Findings
from jaxinv.report.numbers import counted, percent
from jaxinv.report.words import COST_PARTS, full_name

FEW_PERIODS = 0.5
"""Of a year: a test of less cannot have seen every season."""

_PATH = re.compile(r"(?<!\S)(?:/[^\s/:]+)+/([^\s/:]+)")
"""A file with its folders, which are nobody's business whom the page is sent to."""


def assumptions(findings: Findings, evidence: Evidence | None) -> list[str]:
    """What was taken for granted, one line each: what was told of the data, and what the costs
    are.
    """
    said = list(findings.about_orders.get("assumptions", ()))
    if evidence:
        said += (_PATH.sub(r"\1", note) for note in evidence.document.get("notes", ()))
        if not evidence.about.get("money"):
            said.append(
                "Costs are not money: what it costs to hold a period's mean sales of a SKU for a"
                " period is 1, so that every SKU weighs the same. They are told as an index in"
                " which the best rule costs 100. Give costs and prices to have money."
            )
        elif not evidence.currency:
            said.append(
                "Costs and prices are in the money of your own file; no currency was named."
            )
        if evidence.about.get("valued_at"):
            said.append(f"Stock is valued at its {evidence.about['valued_at']}.")
        parts = {name for row in evidence.rows for name in row["parts"]}
        said += [
            f"{_upper(COST_PARTS[name][0])}: {COST_PARTS[name][1]}."
            for name in COSTS
            if name in parts
        ]
    return list(dict.fromkeys(said))


def caveats(findings: Findings, evidence: Evidence | None) -> list[str]:
    """What a referee asks: on what it was judged, over what the intervals are, what was left out,
    what it does not say.
    """
    return [*(_of_evidence(evidence) if evidence else []), *_of_series(findings)]


def _of_evidence(evidence: Evidence) -> list[str]:
    about, acts = evidence.about, evidence.acts
    period = about.get("period") or "period"
    said = [
        "Everything was judged on"
        f" {evidence.span}{f' ({evidence.dates})' if evidence.dates else ''} of demand from which"
        " no policy learned and on which no rule was tuned; all of them met the same demand."
        + (
            f" They began {counted(about['warm_up'], period)} earlier; these do not count."
            if about.get("warm_up")
            else ""
        )
    ]
    if acts.get("interval_over"):
        said.append(
            f"95% intervals are over {acts['interval_over']}: {period}s that follow each other are"
            " alike, and so are SKUs of one kind, and an interval that took them for independent"
            " would be too narrow. Differences are taken on the same demand."
        )
    else:
        said.append("There are too few numbers for intervals: what differs here may be chance.")
    rules = sum(row["kind"] == "rule" for row in evidence.rows)
    if rules > 1 and evidence.best is not None and evidence.best is not acts:
        said.append(
            f"The best rule is the one of {rules} tuned rules that was cheapest in these same"
            f" {period}s. Nobody could know that before, so the comparison favours the rule."
        )
    elif evidence.best is acts and rules > 1:
        said.append(
            f"The rule was chosen as the cheapest of {rules} in these same {period}s, so expect it"
            " to cost a little more later."
        )
    year = about.get("periods_per_year")
    if (
        about.get("periods")
        and year
        and about.get("first")
        and about["periods"] < FEW_PERIODS * year
    ):
        said.append(
            f"{evidence.span} are less than half a year: seasons that do not fall into them were"
            " not tested."
        )
    said.append(
        "All of this is a simulation on past demand. Future demand may differ from it."
        if evidence.dates
        else "Demand is drawn from a model; results in a shop may differ."
    )
    said += _of_choice(evidence)
    for row in evidence.rows:
        if row.get("at_end"):
            ends = ", ".join(
                f"{name} ({percent(share, 0)})" for name, share in row["at_end"].items()
            )
            said.append(
                f"{_upper(evidence.name(row))} may be better than it looks: the best numbers lie at"
                f" an end of what was tried: {ends}."
            )
    if any(row["policy"] == OWN_ORDERS for row in evidence.rows):
        said.append(
            "Your own orders are played as they were placed, on demand as it is estimated, from the"
            " stock that there was. With other stock on the shelf, you would have ordered other"
            " quantities."
        )
    labels = {row.get("instance", "") for row in evidence.document["evaluation"]}
    if len(labels) > 1:
        said.append(
            f"{len(labels)} problems were judged; this page is about {acts.get('instance')!r}. The"
            " others are in summary.json."
        )
    return said


def _of_choice(evidence: Evidence) -> list[str]:
    ending = evidence.document.get("ends_with")
    if not ending:
        return []
    agent = evidence.document.get("agent", "")
    name = full_name(
        ending["policy"], "policy" if ending["policy"] in ending["learned"] else "rule", agent
    )
    return [
        f"What is followed, {name}, was chosen before: it cost least in the last"
        f" {ending['periods']} of those that train."
    ]


def _of_series(findings: Findings) -> list[str]:
    said = []
    if findings.dropped:
        kinds = Counter(reason.partition(":")[0] for _, reason in findings.dropped)
        reasons = "; ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5))
        said.append(
            f"{counted(len(findings.dropped), 'series', 'series')} of the data were left out:"
            f" {reasons}. dropped.csv names them."
        )
    if findings.skus is not None and "difference_low" in findings.skus:
        said.append(
            "The interval of one SKU is of that SKU alone: of many SKUs, one in twenty lies outside"
            " by chance."
        )
    if findings.worst is not None and "forecast_low" in findings.worst:
        said.append(
            "Forecast bands hold 8 in 10 of the demands of the ten SKUs in the periods before; they"
            " are no more than that."
        )
    if findings.document and findings.settings.get("data"):
        said.append(
            "Sales are taken for demand, but where a column stock says that nothing was there:"
            " demand that nobody saw is in no figure."
        )
    return said


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
