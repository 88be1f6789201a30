"""Expands recurrence sets with python-dateutil.

It reads one JSON request per line and writes one JSON answer per line. Time zones are those of zoneinfo,
because the tables of dateutil end in 2037.
"""

import itertools
import json
import re
import sys
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from dateutil import rrule


def moment(value, zone, own=None):
    """Parses a date or a time, in the zone own unless it is in UTC, and returns it in the given zone."""
    value = value.split("/")[0]
    if value.endswith("Z"):
        return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).astimezone(zone)
    layout = "%Y%m%dT%H%M%S" if "T" in value else "%Y%m%d"
    t = datetime.strptime(value, layout).replace(tzinfo=own or zone)
    return t.astimezone(zone) if own else t


def properties(text):
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        head, colon, value = line.partition(":")
        if not colon:
            head, value = "RRULE", line
        name, *parameters = head.split(";")
        tzid = next((p[5:] for p in parameters if p.upper().startswith("TZID=")), "")
        yield name.upper(), tzid, value.upper()


def expand(text, zone, n):
    lines = list(properties(text))
    _, tzid, value = next((p for p in lines if p[0] == "DTSTART"), ("DTSTART", "", "20200101T000000"))
    zone = ZoneInfo(zone or tzid or "UTC")
    start = moment(value, zone)

    def rule(value):
        def until(match):  # dateutil requires UTC
            return "UNTIL=" + moment(match[1], zone).astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")

        return rrule.rrulestr(re.sub(r"UNTIL=([^;]+)", until, value), dtstart=start)

    recurrences = rrule.rruleset()
    if not any(name == "RRULE" for name, _, _ in lines):
        recurrences.rdate(start)
    for name, tzid, value in lines:
        if name == "RRULE":
            recurrences.rrule(rule(value))
        elif name == "EXRULE":
            recurrences.exrule(rule(value))
        elif name in ("RDATE", "EXDATE"):
            add = recurrences.rdate if name == "RDATE" else recurrences.exdate
            for item in value.split(","):
                add(moment(item, zone, ZoneInfo(tzid) if tzid else None))
        elif name != "DTSTART":
            raise ValueError(name)
    # A few more: near a gap the order on the local clock is not that of the instants.
    found = {t.astimezone(timezone.utc) for t in itertools.islice(recurrences, n + 8)}
    return [t.strftime("%Y-%m-%dT%H:%M:%SZ") for t in sorted(found)[:n]]


for line in sys.stdin:
    try:
        answer = {"instants": expand(**json.loads(line))}
    except Exception as error:  # any error is an answer
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
