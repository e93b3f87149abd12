-- Gateways of the time of the backup are no more, and nobody is to wait for them.
DELETE FROM presence.leases;
