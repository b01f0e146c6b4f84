-- The store that gateways share, in Redis, Valkey or Dragonfly: one LeaseCall, counted and answered in one step.
--
-- KEYS: the root's, then for each scope its leases and its buckets. All have the root as their hash tag.
-- ARGV[1]: the call, as engine/lease_call.py has it, in MessagePack. The answer is a LeaseAnswer.
-- The rules stand in engine/lease_store.py, which does the same in Python; a test holds the two together.
--
-- A root is a hash: e epoch, b the epoch of its birth, i the server that made it, k skew, n now at the last
-- call, s since when it recovers (0: it does not), c:<gateway> its calls, p:<gateway> expected, r:<gateway>
-- asserted. A scope's leases: b birth, t total, w width, o oldest bucket, f when its period is over (0: it has
-- none), a:<gateway> "epoch when" it asserted, l:<gateway> "amount expires generation held", x:<gateway>
-- "generation when" of the last lease that was taken back.

local TOLERANCE, RECOVERY, SOON = 100, 120000, 1000
local DAY, SLACK = 86400000, 60000
local ROOT_KEPT = 40 * DAY

local function text(number)
  return string.format('%.0f', number)
end

local function read(value)
  return tonumber(value or '0')
end

local gateway, gateways, term, estimate, server, epoch_known, sequence, acknowledged, asserts, peers, scopes,
  uncertain = unpack(cmsgpack.unpack(ARGV[1]))

local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local root = redis.call('HMGET', KEYS[1], 'e', 'k', 'n', 's', 'c:' .. gateway, 'b', 'i')
local epoch, skew, last, since = root[1] and tonumber(root[1]), read(root[2]), read(root[3]), root[4]
local counted, birth = read(root[5]), root[6]
if not epoch then
  epoch = math.max(clock, epoch_known + 1)
  birth, since = text(epoch), nil
elseif root[7] ~= server or (epoch_known == epoch and acknowledged > counted) then
  epoch = math.max(clock, epoch + 1, epoch_known + 1)
  since = nil
  local told = redis.call('HKEYS', KEYS[1])
  for _, field in ipairs(told) do
    local kind = string.sub(field, 1, 2)
    if kind == 'p:' or kind == 'r:' then
      redis.call('HDEL', KEYS[1], field)
    end
  end
end
local now = clock + skew
if estimate >= 0 then
  local latest = estimate + uncertain
  if now < estimate - TOLERANCE then
    skew = skew + estimate - now
    now = estimate
    if since and since ~= '0' then
      since = text(now) -- no time has passed for those that are waited for
    end
  elseif now > latest + TOLERANCE then
    skew = skew + latest - now
    now = latest
  end
end
if now < last then
  skew = skew + last - now
  now = last
end
since = since and tonumber(since) or now
redis.call(
  'HSET', KEYS[1], 'e', text(epoch), 'b', birth, 'i', server, 'k', text(skew), 'n', text(now), 's', text(since)
)
redis.call('PEXPIRE', KEYS[1], ROOT_KEPT)
if epoch_known ~= epoch and asserts == 0 then
  return cmsgpack.pack({epoch, now, false, counted, since ~= 0, {}})
end
redis.call('HSET', KEYS[1], 'c:' .. gateway, text(sequence))
if asserts > 0 and since ~= 0 then
  for _, peer in ipairs(peers) do
    redis.call('HSET', KEYS[1], 'p:' .. peer, '1')
  end
  if asserts == 2 then
    redis.call('HSET', KEYS[1], 'r:' .. gateway, '1')
  end
  local told = redis.call('HGETALL', KEYS[1])
  local has, complete = {}, true
  for i = 1, #told, 2 do
    if string.sub(told[i], 1, 2) == 'r:' then
      has[string.sub(told[i], 3)] = true
    end
  end
  for i = 1, #told, 2 do
    if string.sub(told[i], 1, 2) == 'p:' and not has[string.sub(told[i], 3)] then
      complete = false
    end
  end
  if complete then
    since = 0
    redis.call('HSET', KEYS[1], 's', '0')
  end
end

local function charge(scope, bucket, amount)
  if amount ~= 0 then
    redis.call('HINCRBY', scope.buckets, text(bucket), text(amount))
    scope.total = scope.total + amount
  end
end

local function find_buckets(ask, scope)
  if ask.concurrency then
    return 0, 0
  end
  if ask.width > 0 then
    return math.floor(now / ask.width), math.floor((now - ask.window - TOLERANCE) / ask.width)
  end
  local start = ask.periods[1]
  if clock >= ask.periods[2] then
    start = ask.periods[3]
  end
  if scope.width == 0 and scope.oldest > 0 then
    start = clock < start and scope.oldest or math.max(start, scope.oldest)
  end
  return start, start
end

local function find_end(ask, scope)
  if ask.concurrency or ask.width > 0 then
    return 0
  end
  if clock < ask.periods[1] then
    return scope.ends
  end
  return clock < ask.periods[2] and ask.periods[2] or ask.periods[4]
end

local function drop(scope, oldest)
  if scope.total ~= 0 or scope.oldest < oldest then
    if oldest - scope.oldest > 600 or scope.calendar then
      local fields = redis.call('HGETALL', scope.buckets)
      for i = 1, #fields, 2 do
        if tonumber(fields[i]) < oldest then
          scope.total = scope.total - tonumber(fields[i + 1])
          redis.call('HDEL', scope.buckets, fields[i])
        end
      end
    elseif scope.oldest < oldest then
      local names = {}
      for index = scope.oldest, oldest - 1 do
        names[#names + 1] = text(index)
      end
      local amounts = redis.call('HMGET', scope.buckets, unpack(names))
      for i, name in ipairs(names) do
        if amounts[i] then
          scope.total = scope.total - tonumber(amounts[i])
          redis.call('HDEL', scope.buckets, name)
        end
      end
    end
  end
  scope.oldest = oldest
end

local function count(ask, leases, buckets)
  local head = redis.call('HMGET', leases, 'b', 't', 'w', 'o', 'f')
  if head[1] ~= birth then
    redis.call('DEL', leases, buckets)
    redis.call('HSET', leases, 'b', birth)
    head = {false, false, false, false, false}
  end
  local scope = {
    leases = leases, buckets = buckets, total = read(head[2]), width = tonumber(head[3] or ask.width),
    oldest = read(head[4]), ends = read(head[5]), calendar = ask.width == 0,
  }
  local bucket, oldest = find_buckets(ask, scope)
  if scope.width ~= ask.width or (oldest > scope.oldest and clock < scope.ends) then
    local total = scope.total
    redis.call('DEL', buckets)
    scope.total, scope.width, scope.oldest = 0, ask.width, oldest
    charge(scope, bucket, total)
  end
  drop(scope, oldest)
  scope.ends = find_end(ask, scope)
  scope.bucket, scope.others, scope.held = bucket, 0, 0
  local ended, repeated = -1, false
  local fields = redis.call('HGETALL', leases)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'l:' then
      local amount, expires, generation, held = string.match(fields[i + 1], '(%S+) (%S+) (%S+) (%S+)')
      local is_mine = fields[i] == 'l:' .. gateway
      local is_old = is_mine and tonumber(generation) ~= ask.generation
      if is_old and asserts > 0 then
        redis.call('HDEL', leases, fields[i])
      elseif tonumber(expires) <= now or is_old then
        redis.call('HDEL', leases, fields[i])
        if not ask.concurrency then
          charge(scope, bucket, tonumber(amount))
          redis.call('HSET', leases, 'x:' .. string.sub(fields[i], 3), generation .. ' ' .. text(now))
          if is_mine then
            ended = tonumber(generation)
          end
        end
      elseif not is_mine then
        scope.others = scope.others + tonumber(amount)
        scope.held = scope.held + tonumber(held)
      end
    elseif string.sub(fields[i], 1, 2) == 'x:' then
      local generation, at = string.match(fields[i + 1], '(%S+) (%S+)')
      if tonumber(at) + DAY < now then
        redis.call('HDEL', leases, fields[i])
      elseif fields[i] == 'x:' .. gateway then
        ended = math.max(ended, tonumber(generation))
      end
    elseif string.sub(fields[i], 1, 2) == 'a:' then
      local at_epoch, at = string.match(fields[i + 1], '(%S+) (%S+)')
      if tonumber(at) + DAY < now then
        redis.call('HDEL', leases, fields[i])
      elseif fields[i] == 'a:' .. gateway and at_epoch == text(epoch) then
        repeated = true
      end
    end
  end
  local spent, keep = ask.spent, ask.keep
  scope.verdict = 0
  if asserts > 0 then
    if not repeated then
      redis.call('HSET', leases, 'a:' .. gateway, text(epoch) .. ' ' .. text(now))
      for i = 1, #ask.journal, 2 do
        if ask.journal[i] >= oldest then
          charge(scope, ask.journal[i], ask.journal[i + 1])
        end
      end
    end
  elseif ended == ask.generation then
    scope.verdict, spent, keep = 1, 0, 0
  end
  if not ask.concurrency then
    charge(scope, bucket, spent)
  end
  for i = 1, #ask.refunds, 2 do
    if ask.refunds[i] >= oldest and redis.call('HEXISTS', buckets, text(ask.refunds[i])) == 1 then
      charge(scope, ask.refunds[i], -ask.refunds[i + 1])
    end
  end
  scope.keep = keep
  scope.free = ask.amount - scope.total - scope.others - keep
  return scope
end

local function find_leaving(ask, scope, amount)
  if amount <= 0 then
    return 0
  end
  if ask.width == 0 then
    local ends = ask.periods[2]
    if clock >= ends then
      ends = ask.periods[4]
    end
    return math.max(1, ends - clock)
  end
  local fields = redis.call('HGETALL', scope.buckets)
  local indices, amounts = {}, {}
  for i = 1, #fields, 2 do
    local index = tonumber(fields[i])
    indices[#indices + 1] = index
    amounts[index] = tonumber(fields[i + 1])
  end
  table.sort(indices)
  for _, index in ipairs(indices) do
    amount = amount - amounts[index]
    if amount <= 0 then
      return math.max(1, (index + 1) * ask.width + ask.window + TOLERANCE - now)
    end
  end
  return ask.window
end

local function find_wait(ask, scope, missing)
  if missing <= 0 then
    return 100
  end
  if ask.concurrency then
    return SOON
  end
  local leaves = find_leaving(ask, scope, missing)
  return math.min(leaves, math.max(SOON, find_leaving(ask, scope, missing - scope.others)))
end

local withheld = #scopes == 0

local function grant(ask, scope, fits)
  local granted, wait = 0, 0
  local longest = #ask.periods > 0 and RECOVERY or math.min(ask.window + term, RECOVERY)
  local waits = since ~= 0 and now < since + longest
  withheld = withheld or waits
  if ask.want > 0 and not waits and scope.free > 0 and (fits or ask.need == 0) then
    local share = math.min(ask.want, math.floor(scope.free / (2 * gateways)))
    granted = math.min(math.max(ask.need, share), scope.free)
  end
  if ask.need > 0 and granted < ask.need then
    granted = 0
    wait = find_wait(ask, scope, ask.need - scope.free)
  end
  local lease = scope.keep + granted
  if lease > 0 or ask.held > 0 then
    local record = text(lease) .. ' ' .. text(now + term) .. ' ' .. text(ask.generation) .. ' ' .. text(ask.held)
    redis.call('HSET', scope.leases, 'l:' .. gateway, record)
  else
    redis.call('HDEL', scope.leases, 'l:' .. gateway)
  end
  redis.call(
    'HSET', scope.leases, 't', text(scope.total), 'w', text(scope.width), 'o', text(scope.oldest), 'f', text(scope.ends)
  )
  local kept = ask.window + 2 * term + SLACK
  if scope.calendar and not ask.concurrency then
    kept = math.max(kept, ask.periods[4] - clock + SLACK)
  end
  redis.call('PEXPIRE', scope.leases, text(kept))
  redis.call('PEXPIRE', scope.buckets, text(kept))
  return {
    scope.verdict, granted, scope.bucket, scope.oldest, scope.total, scope.others + lease,
    scope.held + ask.held, scope.free - granted, wait,
  }
end

local found, fits = {}, true
for i, raw in ipairs(scopes) do
  local ask = {
    amount = raw[2], window = raw[3], width = raw[4], periods = raw[5], concurrency = raw[6], shadow = raw[7],
    generation = raw[8], spent = raw[9], refunds = raw[10], keep = raw[11], need = raw[12], want = raw[13],
    held = raw[14], journal = raw[15],
  }
  local scope = count(ask, KEYS[2 * i], KEYS[2 * i + 1])
  if ask.need > 0 and ask.need > scope.free then
    fits = false
  end
  found[i] = {ask, scope}
end
local answers = {}
for i, pair in ipairs(found) do
  answers[i] = grant(pair[1], pair[2], fits)
end
return cmsgpack.pack({epoch, now, true, sequence, since ~= 0 and withheld, answers})
