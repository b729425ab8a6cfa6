"""Every order of events in which a host can be isolated, looked at one by one: no machine ever runs twice [I-12 to I-17].

A small world is gone through in full: a host that freezes and thaws, its neighbour, a machine that is evacuated from one to
the other, two witnesses of which one may lie, a BMC and a PDU that behave and misbehave, two Doctors that crash, pause and
take office from each other at any step. What the Doctors decide comes from the production deciders (`doctor.fencing`);
only who waits for what is written anew. `world` has what there is and happens, `acting` what a Doctor does, `search` goes
through all of it and says how a promise was broken, `bugs` are planted to see that they are found.
"""
