//! What is done in Redis, each in one step there, so that edges that do it at once do not come between one another.
//!
//! ```text
//! {P}:meta      hash  epoch: who made these data; version: the number of the latest change; purges: of the latest purge
//! {P}:records   hash  what is revoked and which lists there are: field, value
//! {P}:changes   zset  field, with the number of its latest change: everything after a number, or all, is a range of it
//! {P}:ends      zset  field, with the Unix second from which on it means nothing and may go
//! {P}:purges    zset  "number nonce text" of the latest purges
//! {P}:viewings  hash  viewing, with what operators want to know of it
//! {P}:sessions  zset  viewing, with the millisecond in which it was last seen
//! {P:g:GROUP}:… zset  one session id's (or payload's) viewings, their beginnings, those that are over, its addresses
//! {P:t:TOKEN}   text  a one-time token that was used: by which address, in which millisecond
//! ```
//!
//! The braces keep what one script touches in one slot of a cluster. A removal stays as a field with an empty meaning until its
//! end, so that it is told to those who were away. Times inside scripts are the server's, so that edges' clocks do not matter.

use std::sync::LazyLock;

use redis::Script;

/// KEYS meta; ARGV a new epoch. Answers epoch, version, number of the latest purge. It writes, so that a master that has become
/// a replica is noticed.
pub(super) static COMPARE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then epoch = ARGV[1] end
redis.call('HSET', KEYS[1], 'epoch', epoch)
return { epoch, redis.call('HGET', KEYS[1], 'version') or '0', redis.call('HGET', KEYS[1], 'purges') or '0' }
",
    )
});

/// KEYS meta, records, changes, ends; ARGV the channel, then field, value, end of each. Answers the version.
pub(super) static CHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local version = 0
for i = 2, #ARGV, 3 do
  version = redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[3], version, ARGV[i])
  redis.call('ZADD', KEYS[4], ARGV[i + 2], ARGV[i])
end
redis.call('PUBLISH', ARGV[1], version)
return version
",
    )
});

/// As CHANGE, for what Redis has lost: ARGV the channel, the least version, then field, value, end, version of each. What is there
/// under a version as high stays.
pub(super) static MERGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if version < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'version', ARGV[2]) end
for i = 3, #ARGV, 4 do
  local known = redis.call('ZSCORE', KEYS[3], ARGV[i])
  if not known or tonumber(known) < tonumber(ARGV[i + 3]) then
    version = redis.call('HINCRBY', KEYS[1], 'version', 1)
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[3], version, ARGV[i])
    redis.call('ZADD', KEYS[4], ARGV[i + 2], ARGV[i])
  end
end
redis.call('PUBLISH', ARGV[1], version)
return version
",
    )
});

/// KEYS records, changes; ARGV a version and how many at most. Answers field, value, version of each change after it.
pub(super) static CHANGES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local rows = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local out = {}
for i = 1, #rows, 2 do
  out[#out + 1] = rows[i]
  out[#out + 1] = redis.call('HGET', KEYS[1], rows[i]) or ''
  out[#out + 1] = rows[i + 1]
end
return out
",
    )
});

/// KEYS records, changes, ends; ARGV a Unix second and how many at most. Forgets what ended before it.
pub(super) static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, field in ipairs(over) do
  redis.call('HDEL', KEYS[1], field)
  redis.call('ZREM', KEYS[2], field)
  redis.call('ZREM', KEYS[3], field)
end
return #over
",
    )
});

/// KEYS a group's viewings, beginnings, those that are over, addresses; ARGV viewing, address, sessions, active, addresses,
/// window, action, life. Answers `seated`, `reported` or `over`, and whom it displaced: `v` and a viewing, `a` and an address.
pub(super) static SEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local viewing, address, action = ARGV[1], ARGV[2], ARGV[7]
local sessions, active = tonumber(ARGV[3]), tonumber(ARGV[4])
local addresses, window, life = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[8])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if redis.call('ZSCORE', KEYS[3], 'v' .. viewing) or redis.call('ZSCORE', KEYS[3], 'a' .. address) then
  return { 'over' }
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - active)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('ZREM', KEYS[2], gone)
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - window)
local is_new = sessions > 0 and not redis.call('ZSCORE', KEYS[1], viewing)
local is_elsewhere = addresses > 0 and not redis.call('ZSCORE', KEYS[4], address)
local is_over = (is_new and redis.call('ZCARD', KEYS[1]) >= sessions)
  or (is_elsewhere and redis.call('ZCARD', KEYS[4]) >= addresses)
if is_over and action == 'newest' then return { 'over' } end
local answer = { 'seated' }
if is_over and action == 'report' then answer[1] = 'reported' end
if is_over and action == 'oldest' then
  while is_new and redis.call('ZCARD', KEYS[1]) >= sessions do
    local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1] or redis.call('ZRANGE', KEYS[1], 0, 0)[1]
    redis.call('ZREM', KEYS[1], oldest)
    redis.call('ZREM', KEYS[2], oldest)
    redis.call('ZADD', KEYS[3], now + life, 'v' .. oldest)
    answer[#answer + 1] = 'v' .. oldest
  end
  while is_elsewhere and redis.call('ZCARD', KEYS[4]) >= addresses do
    local oldest = redis.call('ZRANGE', KEYS[4], 0, 0)[1]
    redis.call('ZREM', KEYS[4], oldest)
    redis.call('ZADD', KEYS[3], now + window, 'a' .. oldest)
    answer[#answer + 1] = 'a' .. oldest
  end
end
if sessions > 0 then
  redis.call('ZADD', KEYS[1], now, viewing)
  redis.call('ZADD', KEYS[2], 'NX', now, viewing)
end
if addresses > 0 then redis.call('ZADD', KEYS[4], now, address) end
redis.call('PEXPIRE', KEYS[1], active)
redis.call('PEXPIRE', KEYS[2], active)
redis.call('PEXPIRE', KEYS[3], math.max(life, window))
redis.call('PEXPIRE', KEYS[4], window)
return answer
",
    )
});

/// KEYS a token; ARGV address, how long it is remembered, how long a retry is let through. Answers 1 for the first use, 2 for a
/// retry, 0 for a replay.
pub(super) static USE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local used = redis.call('GET', KEYS[1])
if not used then
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%.0f', now), 'PX', ARGV[2])
  return 1
end
local address, first = string.match(used, '^(%S+) (%d+)$')
if address == ARGV[1] and now - tonumber(first) <= tonumber(ARGV[3]) then return 2 end
return 0
",
    )
});

/// KEYS viewings, sessions; ARGV how long one is shown without being seen, then viewing and text of each.
pub(super) static TELL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1], 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[2], gone)
  redis.call('HDEL', KEYS[1], gone)
end
for i = 2, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], now, ARGV[i])
end
return 1
",
    )
});

/// KEYS viewings, sessions; ARGV the first and the last place. Answers the count, the server's time, then viewing, text, last seen of each.
pub(super) static VIEWINGS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local out = { tostring(redis.call('ZCARD', KEYS[2])), string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) }
local rows = redis.call('ZREVRANGE', KEYS[2], ARGV[1], ARGV[2], 'WITHSCORES')
for i = 1, #rows, 2 do
  out[#out + 1] = rows[i]
  out[#out + 1] = redis.call('HGET', KEYS[1], rows[i]) or ''
  out[#out + 1] = rows[i + 1]
end
return out
",
    )
});

/// KEYS meta, purges; ARGV the channel, a nonce, the text, how many are remembered. Answers the number.
pub(super) static PURGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local number = redis.call('HINCRBY', KEYS[1], 'purges', 1)
redis.call('ZADD', KEYS[2], number, string.format('%.0f', number) .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[4]))
redis.call('PUBLISH', ARGV[1], 'purge')
return number
",
    )
});

/// KEYS purges; ARGV a number. Answers that purge and all after it.
pub(super) static PURGES: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf')"));

/// Fields that one call carries: a script runs alone, so that it has to be short.
pub(super) const BATCH: usize = 500;
