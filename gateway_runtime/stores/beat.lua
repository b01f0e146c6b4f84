-- A gateway says that it lives, and learns of the others: see stores/store.py, Beat.
--
-- KEYS: gateways, recoveries (both sorted by time), the memory: "token when". ARGV: the gateway, for how long one
-- is remembered (ms), for how long one counts as alive (ms), a token for a memory that begins now, "root epoch" of
-- recoveries …

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kept, alive_for = tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - kept)
redis.call('PEXPIRE', KEYS[1], 2 * kept)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - kept)
for i = 5, #ARGV do
  redis.call('ZADD', KEYS[2], now, ARGV[i])
end
redis.call('PEXPIRE', KEYS[2], 2 * kept)
redis.call('SET', KEYS[3], ARGV[4] .. ' ' .. string.format('%.0f', now), 'NX')
local memory = redis.call('GET', KEYS[3])
local age = now - tonumber(string.match(memory, ' (%d+)$'))
local alive = redis.call('ZRANGEBYSCORE', KEYS[1], now - alive_for, '+inf')
local peers, recoveries = redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('ZRANGE', KEYS[2], 0, -1)
return {known and 1 or 0, peers, alive, recoveries, memory, age}
