"""Why a goal is missed, by how the figure's name begins. Kept by hand: measuring tells that, not why."""

REASONS: dict[str, str] = {
    "requests/s through": "A request costs HAProxy one look into a map of all routes, and a backend that is found by "
                          "its name, instead of one comparison of its path.",
    "reconfigure, one": "The floor is the two calls to Consul alone. Beside them stand the turn of a web server in "
                        "Python, the text of the whole configuration with its digest, two files on disk, and the "
                        "commands to HAProxy with their reading back. Two or three microseconds for every service "
                        "are in it: a change finds out what differs by walking along all of them. With many services, "
                        "the catalog is read in bulk beside it, because it moved: at 10,000 that keeps Consul busy for "
                        "0.7 s, on the same two cores.",
    "reconfigure, a new service": "Beside HAProxy's check and reload there are Consul, the rendering, and the waiting "
                                  "for the old worker to take no more connections.",
    "an instance": "What woke up reads the service, works out what it comes to, writes it to disk, and tells HAProxy, "
                   "as a call does; the floor is a client that hears of a write and does nothing.",
    "recovery on an empty disk": "Python starts and imports its libraries first, which is most of it where services "
                                 "are few; where they are many, every record and every instance is decoded and worked "
                                 "out once. HAProxy starts without services, checks the configuration, and loads it.",
    "ping": "The process that answers does nothing else, but shares two cores with the load, HAProxy, Consul and the "
            "work itself: an idle server that is asked in turn with it shows how much of it is the machine's.",
    "memory of proxy-api": "Records, catalog and configuration are kept as values, the last one and the wanted one "
                           "side by side, so that only what differs is worked out: some 20 kB for each service.",
    "start event": "The engine is asked about the container first, and answers when it has finished starting it.",
    "100 running": "Each container is inspected before it is registered; the engine, Consul and registrar share the "
                   "machine's cores meanwhile.",
    "broken: ": "HAProxy ends a worker that has outlived so many reloads (`MAX_OLD_WORKERS`), and with it what it "
                "still carries.",
}
