"""The queue's steps as Lua: pure text. Each runs on the server with nothing in between.

A message is the JSON text of [org_slug, run_id, attempt]; that text is its identity. It waits in the list of its
organization, or until it is due, and is claimed under a receipt. `turns` are the organizations with something ready,
each once. `bell` is what idle workers wait for: one element says that something is ready, or is due sooner.
"""

from __future__ import annotations

from typing import Final

_START: Final = """
local turns, waiting, delayed, claims, claimed, bell, ready = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function ring()
  if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, 1) end
end

local function line_up(message)
  local org = cjson.decode(message)[1]
  if redis.call('RPUSH', ready .. org, message) == 1 then redis.call('RPUSH', turns, org) end
  ring()
end

local function announce(message, delay)
  if redis.call('SADD', waiting, message) == 0 then return end
  if tonumber(delay) <= 0 then return line_up(message) end
  redis.call('ZADD', delayed, now + delay, message)
  if redis.call('ZRANK', delayed, message) == 0 then ring() end
end

local function give_up(receipt)
  local message = redis.call('HGET', claimed, receipt)
  redis.call('ZREM', claims, receipt)
  redis.call('HDEL', claimed, receipt)
  return message
end
"""

PUT: Final = (
    _START
    + """
announce(ARGV[1], ARGV[2])
"""
)
# The message, or how many microseconds until something is due by itself, -1 where nothing is.
CLAIM: Final = (
    _START
    + """
local BATCH = 1000
local receipt, visibility = unpack(ARGV)

local function ended(moments)
  return ipairs(redis.call('ZRANGE', moments, '-inf', now, 'BYSCORE', 'LIMIT', 0, BATCH))
end

local function first(moments)
  local moment = redis.call('ZRANGE', moments, 0, 0, 'WITHSCORES')[2]
  return moment and tonumber(moment) or math.huge
end

for _, message in ended(delayed) do
  redis.call('ZREM', delayed, message)
  line_up(message)
end
for _, late in ended(claims) do
  announce(give_up(late), 0)
end

local org = redis.call('LPOP', turns)
if not org then
  redis.call('DEL', bell)
  local moment = math.min(first(delayed), first(claims))
  return {'', moment == math.huge and -1 or math.max(0, moment - now)}
end
local message = redis.call('LPOP', ready .. org)
if redis.call('EXISTS', ready .. org) == 1 then redis.call('RPUSH', turns, org) end
redis.call('SREM', waiting, message)
redis.call('HSET', claimed, receipt, message)
redis.call('ZADD', claims, now + visibility, receipt)
if redis.call('EXISTS', turns) == 1 then ring() end
return {message, 0}
"""
)
EXTEND: Final = (
    _START
    + """
redis.call('ZADD', claims, 'XX', now + ARGV[2], ARGV[1])
"""
)
DONE: Final = (
    _START
    + """
give_up(ARGV[1])
"""
)
RETRY: Final = (
    _START
    + """
local receipt, message, delay = unpack(ARGV)
if give_up(receipt) then announce(message, delay) end
"""
)
