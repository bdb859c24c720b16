"""The words of the incident reports: for every fact its name in a summary, and how a report tells it."""

from __future__ import annotations

from typing import NamedTuple


class Phrase(NamedTuple):
    named: str  # in the summary
    told: tuple[str, ...]  # in the report


class Cause(NamedTuple):
    named: str
    told: tuple[str, ...]
    remedies: tuple[Phrase, Phrase]


SERVICES = (
    *("checkout", "login", "search", "billing", "catalogue", "shipping", "inventory", "messaging"),
    *("reporting", "profiles", "bookings", "pricing", "uploads", "streaming", "maps", "translation"),
    *("payroll", "ticketing", "archive", "analytics", "invoicing", "chat", "calendar", "surveys"),
)
PLACES = (
    *("Frankfurt", "Dublin", "Oregon", "Virginia", "Mumbai", "Singapore"),
    *("Tokyo", "Sydney", "São Paulo", "Montreal", "Stockholm", "Nairobi"),
)
TEAMS = ("platform", "storage", "network", "payments", "front-end", "database")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

LEADS = (
    "On {day} at {time} an alert for {service} in {place} woke the {team} team.",
    "The {team} team reports what happened to {service} in {place} on {day}.",
    "The status page for {place} turned red on {day} at {time}.",
    "Somebody rang the support desk about {service} on {day} at {time}.",
    "The {team} team took over {service} in {place} {minutes} minutes after the first alert.",
)

SYMPTOMS = (
    Phrase(
        "unreachable",
        (
            "No request to {service} in {place} was answered any more.",
            "In {place}, {service} refused every connection.",
            "Whoever opened {service} in {place} saw nothing but a blank page.",
        ),
    ),
    Phrase(
        "slow",
        (
            "Pages of {service} in {place} took more than ten seconds to load.",
            "In {place}, response times of {service} were twenty times what they usually are.",
            "Whoever opened {service} in {place} had to wait for every click.",
        ),
    ),
    Phrase(
        "failing",
        (
            "A third of the calls to {service} in {place} ended with status 500.",
            "In {place}, {service} answered many requests with an error.",
            "Whoever opened {service} in {place} was told again and again to try later.",
        ),
    ),
    Phrase(
        "stale",
        (
            "What {service} in {place} showed was from the day before.",
            "In {place}, {service} gave out figures that had long changed.",
            "Whoever opened {service} in {place} saw yesterday's entries only.",
        ),
    ),
    Phrase(
        "restarting in a loop",
        (
            "The processes of {service} in {place} ended and came up every few seconds.",
            "In {place}, no process of {service} lived longer than a minute.",
            "Whoever opened {service} in {place} was thrown out shortly after.",
        ),
    ),
    Phrase(
        "sending duplicates",
        (
            "Everything that {service} in {place} sends went out several times.",
            "In {place}, {service} delivered each message more than once.",
            "Whoever used {service} in {place} got the same mail over and over.",
        ),
    ),
    Phrase(
        "read-only",
        (
            "Nothing could be saved in {service} in {place}.",
            "In {place}, {service} let people look but not change anything.",
            "Whoever wanted to store something with {service} in {place} was turned away.",
        ),
    ),
    Phrase(
        "losing requests",
        (
            "Some of what was sent to {service} in {place} never arrived.",
            "In {place}, {service} dropped part of its input without a word.",
            "Whoever sent something to {service} in {place} could not be sure that it got there.",
        ),
    ),
)

CAUSES = (
    Cause(
        "an expired certificate",
        (
            "The certificate that it presents had run out at midnight.",
            "Nobody had noticed that its TLS certificate was no longer valid.",
            "Browsers warned of a certificate whose last day had passed.",
        ),
        (
            Phrase("it was renewed", ("A new one was requested and installed.", "The engineer renewed it by hand.")),
            Phrase(
                "an older one was put back",
                ("One from the archive that was still good took its place.", "The previous one still had weeks to go and was put back."),
            ),
        ),
    ),
    Cause(
        "a full disk",
        (
            "There was not one free byte left on the volume.",
            "The disk had filled up with log files over the weekend.",
            "Writes ended with the message that no space was left on the device.",
        ),
        (
            Phrase(
                "old files were deleted",
                ("Files of last year were thrown away to make room.", "Deleting what was older than a month gave room."),
            ),
            Phrase("the volume was enlarged", ("The storage was made twice as large.", "Another terabyte was added to it.")),
        ),
    ),
    Cause(
        "a memory leak",
        (
            "The processes kept what they had allocated and grew until they were killed.",
            "Memory use rose by the hour and never fell.",
            "A list that was never emptied ate all of the memory.",
        ),
        (
            Phrase(
                "the processes were restarted",
                ("Starting all of them afresh gave relief.", "Each of the processes was stopped and started."),
            ),
            Phrase(
                "the list was bounded", ("A fix that limits its length was rolled out.", "It may now hold a thousand entries and no more.")
            ),
        ),
    ),
    Cause(
        "a faulty release",
        (
            "The version that had gone out an hour before had a mistake.",
            "It began with the deployment of the new version.",
            "A bug had slipped through the tests into what was shipped that day.",
        ),
        (
            Phrase("it was rolled back", ("The version before it was put in again.", "Going back to what ran the day before helped.")),
            Phrase("it was patched", ("A developer corrected two lines and shipped again.", "A small correction went out on top of it.")),
        ),
    ),
    Cause(
        "a wrong setting",
        (
            "Somebody had typed a zero too many into the configuration.",
            "A value in the configuration was meant for the test system.",
            "In the settings, seconds had been taken for milliseconds.",
        ),
        (
            Phrase(
                "the value was corrected",
                ("With the right number in its place all went well.", "The engineer entered what had been meant."),
            ),
            Phrase(
                "the default was restored",
                ("The line was removed, so that the default holds.", "Without that line the default took effect again."),
            ),
        ),
    ),
    Cause(
        "an overloaded database",
        (
            "The database behind it was busy with a query that read whole tables.",
            "Queries queued up in front of the database.",
            "The database used all of its processors and could not keep up.",
        ),
        (
            Phrase(
                "an index was added",
                ("With an index on the right column the query took milliseconds.", "The column that is searched got an index."),
            ),
            Phrase(
                "a replica was added",
                ("A second copy of it took over half of the reads.", "Reads were moved to a copy that was set up at once."),
            ),
        ),
    ),
    Cause(
        "a broken switch",
        (
            "A network switch in the rack had died.",
            "One of the switches dropped every other packet.",
            "The packets got lost in a switch with a burnt port.",
        ),
        (
            Phrase("it was replaced", ("A technician built in a spare one.", "A spare part was taken from the shelf and built in.")),
            Phrase(
                "traffic was rerouted", ("The packets were sent another way around it.", "All traffic now goes through the other rack.")
            ),
        ),
    ),
    Cause(
        "a power failure",
        (
            "The lights went out in the whole building.",
            "The grid operator had cut the electricity by mistake.",
            "A fuse blew and took half of the racks with it.",
        ),
        (
            Phrase("the generator started", ("The diesel in the yard was started by hand.", "The emergency generator took over at last.")),
            Phrase(
                "the grid came back", ("The grid operator mended it on their side.", "Then there was electricity again without our doing.")
            ),
        ),
    ),
    Cause(
        "a wrong DNS record",
        (
            "Its name pointed to an address that had been given up.",
            "The name server sent everyone to an old machine.",
            "Looking up its name gave an address in another network.",
        ),
        (
            Phrase(
                "the record was corrected",
                ("The entry was changed to the right address.", "The engineer entered the right address in the zone."),
            ),
            Phrase(
                "the caches were flushed",
                ("The resolvers were told to forget what they knew.", "Emptying the caches of the resolvers was enough."),
            ),
        ),
    ),
    Cause(
        "a traffic peak",
        (
            "A film star had posted the link, and ten times as many people came.",
            "The sale brought more visitors than ever before.",
            "A school class of bots hammered at it.",
        ),
        (
            Phrase("replicas were added", ("Eight more copies of it were started.", "Twice as many instances share the work now.")),
            Phrase("a rate limit was set", ("Each address may now ask ten times a second.", "Whoever asks too often is now made to wait.")),
        ),
    ),
    Cause(
        "a deadlock",
        (
            "Two transactions waited for each other.",
            "Each of two threads held the lock that the other one wanted.",
            "Nothing moved because of two locks that were taken in different order.",
        ),
        (
            Phrase("one side was killed", ("Ending one of the two by force let the other go on.", "The engineer aborted one of them.")),
            Phrase(
                "the lock order was fixed",
                ("Both now take them in alphabetical order.", "A change makes sure that the order is always the same."),
            ),
        ),
    ),
    Cause(
        "an exhausted connection pool",
        (
            "All hundred connections were taken and none was given back.",
            "New requests waited in vain for a free connection.",
            "A code path forgot to close its connections.",
        ),
        (
            Phrase("the pool was enlarged", ("Three hundred of them are allowed now.", "Their number was raised.")),
            Phrase(
                "idle ones were closed", ("Those that did nothing for a minute are cut off now.", "Cutting off those that slept made room.")
            ),
        ),
    ),
    Cause(
        "a firewall rule",
        (
            "A new rule in the firewall blocked the port.",
            "The firewall took its requests for an attack.",
            "Since a change in the firewall nothing got through.",
        ),
        (
            Phrase("the rule was removed", ("Taking the rule out opened the way.", "The network people took it out.")),
            Phrase(
                "an exception was made", ("Its addresses were put on the list of the good ones.", "The addresses in question may pass now.")
            ),
        ),
    ),
    Cause(
        "a corrupt index",
        (
            "Half of the search index could not be read.",
            "After a crash the checksums of the index did not match.",
            "The index had holes where entries should be.",
        ),
        (
            Phrase("it was rebuilt", ("Building it anew from the source data took a while and helped.", "It was made again from scratch.")),
            Phrase("a backup was restored", ("The copy of the night before was good and was loaded.", "The nightly copy was brought in.")),
        ),
    ),
    Cause(
        "a failed migration",
        (
            "The change of the schema had stopped half way.",
            "One table had the new columns and another had not.",
            "The script which moves the tables to the new schema had ended with an error.",
        ),
        (
            Phrase("it was completed", ("The remaining steps were run by hand.", "Running the rest of the steps settled it.")),
            Phrase("it was undone", ("The old columns were brought back.", "All steps were taken back one by one.")),
        ),
    ),
    Cause(
        "a drifting clock",
        (
            "The time on one host was eleven minutes off.",
            "Two machines disagreed about what time it was.",
            "Tokens were refused as coming from the future.",
        ),
        (
            Phrase(
                "the time was synchronized",
                ("The hosts now get the hour from the same source.", "The time server was asked again and set it right."),
            ),
            Phrase("the host was taken out", ("That machine was removed from the group.", "The rest went on without that machine.")),
        ),
    ),
)

DAMAGES = (
    Phrase("No customer noticed.", ("Luckily nobody outside saw any of it.", "It was night there, and no complaints came.")),
    Phrase("Orders were lost.", ("Some people gave up and bought elsewhere.", "What was in the carts at that time is gone.")),
    Phrase("Invoices went out late.", ("The bills of that day were sent on the next one.", "Accounting had to wait with the bills.")),
    Phrase("Support got many calls.", ("The phones at the help desk did not stop ringing.", "Hundreds of people wrote to the help desk.")),
    Phrase("Staff could not work.", ("Our own people sat in front of empty screens.", "In the offices all work stood still.")),
    Phrase(
        "Data had to be entered again.",
        ("Clerks typed in from paper what was missing.", "What had been recorded that day was keyed in a second time."),
    ),
    Phrase(
        "A penalty is due.",
        ("The contract promises more, so we owe a partner money.", "A partner claims what the contract sets for such a case."),
    ),
    Phrase("The press reported it.", ("A newspaper had it on its front page.", "Journalists asked for a statement and wrote about it.")),
)

DURATIONS = (
    Phrase("10 minutes", ("10 minutes", "ten minutes")),
    Phrase("15 minutes", ("15 minutes", "a quarter of an hour")),
    Phrase("20 minutes", ("20 minutes", "twenty minutes")),
    Phrase("25 minutes", ("25 minutes", "twenty-five minutes")),
    Phrase("30 minutes", ("30 minutes", "half an hour")),
    Phrase("40 minutes", ("40 minutes", "forty minutes")),
    Phrase("45 minutes", ("45 minutes", "three quarters of an hour")),
    Phrase("one hour", ("60 minutes", "an hour")),
    Phrase("90 minutes", ("90 minutes", "an hour and a half")),
    Phrase("two hours", ("two hours", "120 minutes")),
    Phrase("three hours", ("three hours", "180 minutes")),
    Phrase("half a day", ("half a day", "twelve hours")),
)

DISTRACTORS = (
    "At first {other_cause} was suspected, but that proved wrong.",
    "A month ago {other_cause} had led to something similar with {other_service} in {other_place}.",
    "Meanwhile {other_service} in {other_place} worked as usual.",
    "The alert for {other_service} came {minutes} minutes later and was a false one.",
    "A colleague in {other_place} read the logs of {other_service} and found nothing.",
    "The last incident of this kind had taken {other_duration}.",
    "Planned work on {other_service} was put off by {other_duration}.",
)

ENDINGS = (
    "All checks were green again {duration} after it began.",
    "From the first alert to the last it had taken {duration}.",
    "In all, people had to live with it for {duration}.",
    "It was over after {duration}.",
)

AFTERMATH = (
    "The {team} team will look into monitoring next week.",
    "A ticket asks for an alert on {other_cause} too.",
    "The runbook of {other_service} was read by everyone afterwards.",
    "A review is planned for {day}.",
)
