"""The state store's steps as Lua: pure text. Each runs on the server with nothing in between.

Time is the server's, in microseconds, which a double holds exactly. No key has an expiry of Redis' own: what has run
out is told by its `until`, and swept by later writes. A server with a policy that evicts keys with an expiry never
evicts a lease.
"""

from __future__ import annotations

from typing import Final

# Up to SWEPT records that have run out go with every write.
_START: Final = """
local sequence, due, names, record = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function is_live(until_)
  return not until_ or tonumber(until_) > now
end
"""
_CHANGE: Final = (
    _START
    + """
local SWEPT = 20

local function forget(key)
  redis.call('UNLINK', key)
  redis.call('ZREM', due, key)
end

local function last_until(micros)
  redis.call('HSET', record, 'until', now + micros)
  redis.call('ZADD', due, now + micros, record)
end

local function last_forever()
  redis.call('HDEL', record, 'until')
  redis.call('ZREM', due, record)
end

-- At least the time, so that it does not fall when the server comes back without its newest writes.
local function draw()
  local drawn = math.max((tonumber(redis.call('GET', sequence)) or 0) + 1, now)
  redis.call('SET', sequence, drawn)
  return drawn
end

for _, key in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEPT)) do
  redis.call('ZREM', names, redis.call('HGET', key, 'name') or '')
  forget(key)
end
"""
)

ACQUIRE: Final = (
    _CHANGE
    + """
local owner, ttl, grace = unpack(ARGV)
local held = redis.call('HMGET', record, 'owner', 'until')
if held[1] and held[1] ~= owner and is_live(held[2]) then return false end
local fence = draw()
redis.call('HSET', record, 'owner', owner, 'fence', fence, 'until', now + ttl)
redis.call('ZADD', due, now + ttl + grace, record)
return fence
"""
)
RENEW: Final = (
    _CHANGE
    + """
local fence, ttl, grace = unpack(ARGV)
if redis.call('HGET', record, 'fence') ~= fence then return 0 end
redis.call('HSET', record, 'until', now + ttl)
redis.call('ZADD', due, now + ttl + grace, record)
return 1
"""
)
RELEASE: Final = (
    _CHANGE
    + """
if redis.call('HGET', record, 'fence') == ARGV[1] then forget(record) end
"""
)
HOLDER: Final = (
    _START
    + """
local held = redis.call('HMGET', record, 'owner', 'fence', 'until')
if not held[1] or not is_live(held[3]) then return false end
return {held[1], held[2]}
"""
)

GET: Final = (
    _START
    + """
local held = redis.call('HMGET', record, 'value', 'version', 'until')
if not held[2] or not is_live(held[3]) then return false end
return {held[1], held[2]}
"""
)
COMPARE_AND_SET: Final = (
    _CHANGE
    + """
local name, expected, value, ttl = unpack(ARGV)
local held = redis.call('HMGET', record, 'version', 'until')
local version = held[1] and is_live(held[2]) and held[1] or ''
if version ~= expected then return false end
local drawn = draw()
redis.call('HSET', record, 'name', name, 'value', value, 'version', drawn)
redis.call('ZADD', names, 0, name)
if ttl == '' then last_forever() else last_until(ttl) end
return drawn
"""
)
DELETE: Final = (
    _CHANGE
    + """
forget(record)
forget(KEYS[5])
redis.call('ZREM', names, ARGV[1])
"""
)
# How many names were looked at, the last of them, and the live values among them.
SCAN: Final = (
    _START
    + """
local from, to, limit = unpack(ARGV)
local found = redis.call('ZRANGE', names, from, to, 'BYLEX', 'LIMIT', 0, limit)
local entries = {}
for _, name in ipairs(found) do
  local held = redis.call('HMGET', record .. name, 'value', 'version', 'until')
  if held[2] and is_live(held[3]) then
    table.insert(entries, {name, held[1], held[2]})
  end
end
return {#found, found[#found] or '', entries}
"""
)

COUNT: Final = (
    _CHANGE
    + """
local amount, limit, ttl = unpack(ARGV)
local held = redis.call('HMGET', record, 'number', 'until')
local is_there = held[1] and is_live(held[2])
local current = is_there and tonumber(held[1]) or 0
local total = math.max(0, current + amount)
if tonumber(amount) > 0 and limit ~= '' and total > tonumber(limit) then return false end
if total ~= current then
  redis.call('HSET', record, 'number', total)
  if not is_there then
    if ttl == '' then last_forever() else last_until(ttl) end
  end
end
return total
"""
)
