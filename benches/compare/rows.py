"""The rows: what is measured, against whom, and what was promised."""

import contextlib
import json
import pathlib
import subprocess
import sys
import time

import load
from load import BASIC, MANIFEST, bearer, h2load, idle_connections, percentile, wrk
from machine import OTHER_CORE, Failed, explained, pinned
from peers import TOKEN_PATH
from report import Line

KIB, MIB = 1024, 1 << 20
# Tokens a second of distribution's reference token server on one core, with a bcrypt password, as measured when the
# limits were set.
DISTRIBUTION_TOKENS = 7
MANY = 100_000
# More than any of the proxies verifies in a second on one core: no token of a measurement is met twice.
TOKENS_A_SECOND = 25_000
# More than are used in a second, and fewer than the gateway recognizes.
OWN_TOKENS = 19_000
# The turn before those that count.
WARM_UP = -1
MANY_MANIFEST = "/v2/space-50000/app/manifests/latest"


class Asked:
    """A proxy that `start()` makes, and what it is asked: `work(proxy, turn)`, about a second, counts what was done."""

    def __init__(self, start, work):
        self.start, self.work = start, work


class Bench:
    """A site and how long to look."""

    def __init__(self, site, rounds, seconds, quick):
        self.site, self.rounds, self.seconds, self.quick = site, rounds, seconds, quick

    def costs(self, *asked, turns=None):
        """CPU of each proxy for each of the things that are counted. All are started anew, with an upstream.

        They take turns, so that what else the machine does meets all of them.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.site.start_upstream())
            proxies = [stack.enter_context(one.start()) for one in asked]
            for one, proxy in zip(asked, proxies):
                one.work(proxy, WARM_UP)
            before = [proxy.process.cpu() for proxy in proxies]
            counts = [0] * len(asked)
            places = list(range(len(asked)))
            for turn in range(turns or self.seconds):
                for place in places:
                    counts[place] += asked[place].work(proxies[place], turn)
                places.reverse()
            return [(proxy.process.cpu() - begun) / count for proxy, begun, count in zip(proxies, before, counts)]

    def compared(self, row, what, unit, ours, peers, turns=None):
        """Our numbers beside those of `peers`: name, what it is asked, and the most that our number may be of its."""
        results = {name: ([], []) for name, _, _ in peers}
        for number in range(self.rounds):
            for place, (name, theirs, _) in enumerate(peers):
                first, second = (theirs, ours) if (number + place) % 2 else (ours, theirs)
                costs = twice_at_most(lambda: self.costs(first, second, turns=turns))
                our, their = costs if first is ours else reversed(costs)
                results[name][0].append(our)
                results[name][1].append(their)
        return [
            Line(row, what, unit, results[name][0], name, results[name][1], at_most=most) for name, _, most in peers
        ]


def twice_at_most(measured):
    """A mishap does not cost the rounds before it, and is told."""
    try:
        return measured()
    except (Failed, OSError) as error:
        print(f"measured again: {explained(error)}", file=sys.stderr)
        return measured()


def small_get(bench):
    """CPU of a small GET with a token that is known."""
    site, token = bench.site, bearer(bench.site.token)

    def get(proxy, _):
        return wrk(proxy.port, seconds=1, authorization=token)

    def of(start, **options):
        return Asked(lambda: start(**options), get)

    return bench.compared(
        "get",
        "small GET, CPU per request",
        "µs",
        of(site.tidegate),
        [
            ("nginx, plain", of(site.nginx), 1.10),
            ("Envoy, jwt_authn with its cache", of(site.envoy), 0.45),
            ("HAProxy, jwt_verify", of(site.haproxy, verify=True), 0.25),
            ("HAProxy, plain", of(site.haproxy), None),
            ("Envoy, jwt_authn without cache", of(site.envoy, cache=False), None),
            ("Caddy, plain", of(site.caddy), None),
            ("hyper, bare", of(site.hyper), None),
            ("Tidegate, with its audit log", of(site.tidegate, audit=True), None),
        ],
    )


def fresh_token(bench):
    """The same, each request with another token."""
    site = bench.site

    def get(proxy, turn):
        first = (turn - WARM_UP) * TOKENS_A_SECOND
        return wrk(proxy.port, seconds=1, tokens=site.tokens, first=first)

    def get_with_own(proxy, turn):
        """With tokens that the gateway has issued itself, which is what the warm-up is."""
        own = site.dir / "own-tokens"
        if turn == WARM_UP:
            own.write_text("\n".join(load.issue_tokens(proxy.port, BASIC, TOKEN_PATH, OWN_TOKENS)) + "\n")
            return OWN_TOKENS
        return wrk(proxy.port, seconds=1, tokens=own)

    haproxy = Asked(lambda: site.haproxy(verify=True), get)
    foreign = bench.compared(
        "fresh-token",
        "small GET, every token new, CPU per request",
        "µs",
        Asked(site.tidegate, get),
        [
            ("HAProxy, jwt_verify", haproxy, 0.85),
            ("Envoy, jwt_authn", Asked(site.envoy, get), None),
        ],
    )
    return foreign + bench.compared(
        "fresh-token",
        "small GET, every token new and issued by the gateway, CPU per request",
        "µs",
        Asked(site.tidegate, get_with_own),
        [("HAProxy, jwt_verify, tokens of somebody else", haproxy, None)],
        # Another turn would take more tokens than are there.
        turns=1,
    )


def challenge(bench):
    """CPU of a 401, beside nginx, which forwards the same request."""
    site = bench.site

    def refused(proxy, _):
        return wrk(proxy.port, seconds=1, refused=True)

    def forwarded(proxy, _):
        return wrk(proxy.port, seconds=1)

    return bench.compared(
        "challenge",
        "401 challenge, CPU per request",
        "µs",
        Asked(site.tidegate, refused),
        [
            ("nginx, plain (forwards it)", Asked(site.nginx, forwarded), 0.5),
        ],
    )


def blobs(bench):
    """CPU of each GiB, down and up."""
    site, token = bench.site, bearer(bench.site.token)
    site.make_blob()
    lines = []
    for what, transfer in [
        ("blob download", lambda proxy, _: load.download(proxy.port, token)),
        ("blob upload", lambda proxy, _: load.upload(proxy.port, token, site.blob)),
    ]:

        def of(start, transfer=transfer, **options):
            return Asked(lambda: start(**options), transfer)

        lines += bench.compared(
            "blobs",
            f"{what}, 256 MiB, CPU per GiB",
            "s/GiB",
            of(site.tidegate),
            [
                ("nginx, large buffers", of(site.nginx, large_buffers=True), 1.10),
                ("HAProxy", of(site.haproxy), 0.6),
                ("nginx", of(site.nginx), None),
                ("HAProxy, buffers of 256 KiB", of(site.haproxy, large_buffers=True), None),
            ],
            turns=1 if bench.quick else 4,
        )
    return lines


def latency(bench):
    """What the gateway adds to the p99 at half of what it can do."""
    site, token = bench.site, bearer(bench.site.token)
    with site.start_upstream(), site.tidegate() as proxy:
        wrk(proxy.port, seconds=1, authorization=token)
        most = wrk(proxy.port, seconds=2, authorization=token) / 2
    rate = most / 2
    log = site.dir / "latencies"

    def p99(port):
        h2load(port, seconds=1, http1=True, connections=32, rate=rate, authorization=token)
        log.unlink(missing_ok=True)
        return percentile(
            h2load(port, seconds=bench.seconds, http1=True, connections=32, rate=rate, authorization=token, log=log),
            0.99,
        )

    ours, direct = [], []
    for _ in range(bench.rounds):
        with site.start_upstream(), site.tidegate() as proxy:
            direct.append(p99(site.upstream_port))
            ours.append(p99(proxy.port))
    return [
        Line(
            "latency",
            f"p99 at {rate:,.0f} requests a second, 32 connections: added",
            "ms",
            ours,
            "direct",
            direct,
            at_most=0.001,
            difference=True,
        )
    ]


def issue(bench, path=TOKEN_PATH, authorization=BASIC, **options):
    """CPU of a token for a password that is known."""

    def tokens(proxy, _):
        return wrk(proxy.port, path, seconds=1, authorization=authorization)

    return Asked(lambda: bench.site.tidegate(**options), tokens)


def token(bench):
    """How many tokens one core issues to who has logged in before."""
    rates = [1 / twice_at_most(lambda: bench.costs(issue(bench)))[0] for _ in range(bench.rounds)]
    what = "tokens a second of one core, known password"
    reference = [DISTRIBUTION_TOKENS] * len(rates)
    return [
        Line("token", what, "/s", rates, at_least=15_000),
        Line("token", what, "/s", rates, "distribution's token server (measured elsewhere)", reference, at_least=2000),
    ]


def flood(bench):
    """What others notice of a flood of wrong passwords."""
    site, token = bench.site, bearer(bench.site.token)
    users = 20
    seconds = max(bench.seconds, 4)
    script = pathlib.Path(__file__).with_name("flood.py")
    log = site.dir / "latencies"
    quiet, loud, slowest, refused, wrong = [], [], [], 0, {}

    def others(port):
        log.unlink(missing_ok=True)
        return percentile(
            h2load(port, seconds=seconds, http1=True, connections=8, rate=400, authorization=token, log=log), 0.99
        )

    for _ in range(bench.rounds):
        # Remembered so shortly that a right password is hashed again each time. All else is the default.
        limits = '\n[limits]\npassword_cache = "1s"\n'
        with site.start_upstream(), site.tidegate(limits=limits, users=accounts(site, users)) as proxy:
            for number in range(users):
                status, _ = load.log_in(proxy.port, load.basic(f"user-{number}"), TOKEN_PATH)
                if status != 200:
                    raise Failed(f"{status} for a right password")
            time.sleep(1.5)
            others(proxy.port)
            quiet.append(others(proxy.port))
            command = [sys.executable, "-B", script, proxy.port, TOKEN_PATH, seconds + 1, 200, users]
            with subprocess.Popen(pinned([OTHER_CORE], command), stdout=subprocess.PIPE, text=True) as attack:
                time.sleep(1)
                loud.append(others(proxy.port))
                told = json.loads(attack.communicate(timeout=60)[0])
        slowest.append(max(told["latencies"]))
        refused += sum(count for status, count in told["right"].items() if status != "200")
        for status, count in told["wrong"].items():
            wrong[status] = wrong.get(status, 0) + count
    if refused:
        raise Failed(f"{refused} right passwords were refused")
    came = ", ".join(f"{count} × {status}" for status, count in sorted(wrong.items()))
    return [
        Line("flood", f"slowest log-in beside 200 wrong passwords a second ({came})", "ms", slowest, at_most=0.25),
        Line("flood", "p99 of other requests beside them", "ms", loud, "quiet", quiet, at_most=2),
    ]


def http2(bench):
    """CPU of a small GET over HTTP/2 and TLS."""
    site, token = bench.site, bearer(bench.site.token)

    def get(proxy, _):
        return h2load(proxy.port, seconds=1, authorization=token, tls=True, streams=32)

    return bench.compared(
        "http2",
        "small GET, HTTP/2 and TLS, 32 streams, CPU per request",
        "µs",
        Asked(lambda: site.tidegate(tls=True), get),
        [
            ("Envoy, jwt_authn with its cache", Asked(lambda: site.envoy(tls=True), get), 0.6),
        ],
    )


def memory(bench):
    """What it takes with nobody there, and for each connection that waits."""
    site, token = bench.site, bearer(bench.site.token)
    count = 500 if bench.quick else 4000
    idle, plain, secure = [], [], []
    for _ in range(max(1, min(bench.rounds, 3))):
        for tls, kept in [(False, plain), (True, secure)]:
            with site.start_upstream(), site.tidegate(tls=tls) as proxy:
                time.sleep(1)
                before = proxy.process.memory()
                if not tls:
                    idle.append(before)
                # What the first connections bring once and for all is not theirs.
                for connection in idle_connections(proxy.port, token, 50, tls):
                    connection.close()
                time.sleep(6)
                before = proxy.process.memory()
                with contextlib.ExitStack() as stack:
                    for connection in idle_connections(proxy.port, token, count, tls):
                        stack.enter_context(connection)
                    # Long enough for connections to the upstream to be given up too.
                    time.sleep(6)
                    kept.append((proxy.process.memory() - before) / count)
    return [
        Line("memory", "memory, nobody there (Pss)", "MiB", idle, at_most=12 * MIB),
        Line("memory", f"of each of {count:,} idle connections", "KiB", plain, at_most=4 * KIB),
        Line("memory", f"of each of {count:,} idle connections over TLS", "KiB", secure, at_most=18 * KIB),
    ]


def start(bench):
    """How long until it listens, and how large the program is."""
    site = bench.site
    times = []
    for _ in range(5 if bench.quick else 20):
        with site.tidegate() as proxy:
            times.append(proxy.seconds_to_listen)
    size = site.tidegate_program.stat().st_size
    return [
        Line("start", f"from its start to the first connection, of {len(times)}", "ms", times, at_most=0.03),
        Line("start", "the program, stripped", "MiB", [size], at_most=12 * MIB),
    ]


def workers(bench):
    """What a second worker thread costs."""
    site, token = bench.site, bearer(bench.site.token)

    def get(proxy, _):
        return wrk(proxy.port, seconds=1, authorization=token)

    def of(count, cores):
        return Asked(lambda: site.tidegate(workers=count, cores=cores), get)

    # On one core a second thread costs what it costs. On both it is also in the way of upstream and clients, and they
    # are in its.
    return [
        *bench.compared(
            "workers",
            "small GET, two workers on the proxy's core, CPU per request",
            "µs",
            of(2, (0,)),
            [("one worker there", of(1, (0,)), 1.10)],
        ),
        *bench.compared(
            "workers",
            "small GET, two workers on both cores, CPU per request",
            "µs",
            of(2, (0, 1)),
            [("one worker on both", of(1, (0, 1)), None)],
        ),
    ]


def accounts(site, count):
    return "".join(f'[users.user-{number}]\npassword_hash = "{site.hash}"\n' for number in range(count))


def many(bench):
    """What 100,000 rules and as many users cost."""
    site = bench.site
    rules = "".join(
        f'[[access]]\nwho = ["user:user-{number}"]\nrepositories = ["space-{number}/**"]\nactions = ["pull", "push"]\n'
        for number in range(MANY)
    )
    text = accounts(site, MANY) + rules
    path = TOKEN_PATH.replace("team/app", "space-50000/app")
    basic = load.basic("user-50000")
    starts = []

    def get(where, authorization):
        return lambda proxy, _: wrk(proxy.port, where, seconds=1, authorization=bearer(authorization))

    def large():
        proxy = site.tidegate(users=text)
        starts.append(proxy.seconds_to_listen)
        return proxy

    return [
        *bench.compared(
            "many",
            "small GET, 100,000 rules and users, CPU per request",
            "µs",
            Asked(large, get(MANY_MANIFEST, site.token_of_many)),
            [("two rules, one user", Asked(site.tidegate, get(MANIFEST, site.token)), 1.10)],
        ),
        *bench.compared(
            "many",
            "a token, 100,000 rules and users, CPU per token",
            "µs",
            issue(bench, path, basic, users=text),
            [("two rules, one user", issue(bench), 2)],
        ),
        Line("many", "from its start to the first connection, 100,000 rules and users", "ms", starts, at_most=1),
    ]


ROWS = {
    "get": small_get,
    "fresh-token": fresh_token,
    "challenge": challenge,
    "blobs": blobs,
    "latency": latency,
    "token": token,
    "flood": flood,
    "http2": http2,
    "memory": memory,
    "start": start,
    "workers": workers,
    "many": many,
}
