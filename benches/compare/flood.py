"""A flood of wrong passwords, and log-ins with right ones beside it: flood.py PORT PATH SECONDS RATE USERS

The wrong ones come from ever new addresses of 127.0.0.0/8, each with fewer attempts than are delayed; the right ones
from 127.0.0.1, five a second, each user in turn, so that every password has left the memory of the gateway when it
comes again. Prints one JSON object.
"""

import asyncio
import base64
import collections
import json
import sys
import time

ATTEMPTS_PER_ADDRESS = 8
RIGHT_PER_SECOND = 5
AT_ONCE = 200


async def ask(port, path, user, password, address):
    """The status, and how long it took from the start of the connection."""
    begun = time.perf_counter()
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Authorization: Basic {credentials}"]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        answer = await asyncio.wait_for(reader.read(), 30)
        return int(answer.split(b" ", 2)[1]), time.perf_counter() - begun
    finally:
        writer.close()


def address_of(attempt):
    number = attempt // ATTEMPTS_PER_ADDRESS + 2
    return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


async def paced(rate, until, one):
    begun, count, tasks = time.perf_counter(), 0, set()
    while rate and time.perf_counter() < until:
        if len(tasks) < AT_ONCE:
            task = asyncio.create_task(one(count))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        count += 1
        await asyncio.sleep(max(0, begun + count / rate - time.perf_counter()))
    await asyncio.gather(*tasks)


async def main():
    port, path, seconds, rate, users = (
        int(sys.argv[1]),
        sys.argv[2],
        float(sys.argv[3]),
        float(sys.argv[4]),
        int(sys.argv[5]),
    )
    wrong, right, latencies = collections.Counter(), collections.Counter(), []

    async def wrong_one(attempt):
        status, _ = await ask(port, path, f"user-{attempt % users}", f"wrong {attempt}", address_of(attempt))
        wrong[status] += 1

    async def right_one(attempt):
        status, seconds = await ask(port, path, f"user-{attempt % users}", "correct horse", "127.0.0.1")
        right[status] += 1
        latencies.append(seconds)

    until = time.perf_counter() + seconds
    # The flood has a second to build up.
    flood = asyncio.create_task(paced(rate, until, wrong_one))
    await asyncio.sleep(1)
    await paced(RIGHT_PER_SECOND, until, right_one)
    await flood
    print(json.dumps({"wrong": wrong, "right": right, "latencies": latencies}))


asyncio.run(main())
