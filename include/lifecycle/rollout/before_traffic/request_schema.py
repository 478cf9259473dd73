"""Whether one request can be asked of two versions side by side: their inputs must allow it. Pure.

Beside a champion, a version gets the requests that clients send today; with other inputs it would refuse each of them.
"""

from __future__ import annotations

from include.serving.version_folder import ServingSpec


def request_differences(champion: ServingSpec, challenger: ServingSpec) -> list[str]:
    """Why the challenger would refuse a request that the champion takes, by column; empty when it would not.

    The model server wants every input, knows no others, and reads numbers and categories as different datatypes.
    """
    theirs = {column.name: column for column in champion.inputs}
    mine = {column.name: column for column in challenger.inputs}
    passed = {challenger.key, challenger.event_time}
    told = [f"{name} is not sent to the champion" for name in mine if name not in theirs]
    sent = [*theirs, champion.key, champion.event_time]
    told += [f"{name} is unknown to it" for name in dict.fromkeys(sent) if name not in mine and name not in passed]
    for name in sorted(mine.keys() & theirs.keys()):
        if mine[name].kind != theirs[name].kind:
            told.append(f"{name} is {mine[name].kind} in it, {theirs[name].kind} in the champion")
        elif theirs[name].nullable and not mine[name].nullable:
            told.append(f"{name} may not be null in it")
    return told
