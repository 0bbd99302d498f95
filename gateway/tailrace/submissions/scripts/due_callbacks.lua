-- Returns callbacks with a delivery that is due, those due longest first; a bounded number.

return redis.call('ZRANGEBYSCORE', base .. 'due', '-inf', now, 'LIMIT', 0, 4096)
