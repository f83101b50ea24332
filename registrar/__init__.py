"""The agent on every node: published container ports go into the Consul catalog and out of it again.

How an event of the engine gets there:

    engine.docker_engine   reads it                     -> engine.events.Event
    shell.hints            marks its container
    shell.loop             wakes, and makes a pass
    shell.containers       asks the engine about it     -> core.running.Running
    core.offers            what the containers bring    -> core.services.Offer, core.registration.Registration
    core.decide            compares with core.registered.Registered, under core.drains.Drains
                                                        -> core.outcome.Draft, core.plan.Plan
    shell.registry         writes to Consul             -> core.outcome.Outcome
    shell.loop             logs it, counts it, shows it

A timer, a start and a retry go the same way; a full pass asks about every container and reads all of Consul first.
"""
