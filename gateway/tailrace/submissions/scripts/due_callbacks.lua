-- Returns callbacks with a delivery that is due, and what is due longest first.

return redis.call('ZRANGEBYSCORE', base .. 'due', '-inf', now)
