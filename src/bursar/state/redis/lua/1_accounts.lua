-- Accounts: one hash each, so that a claim is one read and one or two additions.
--
--   p<slot> h<slot> s<slot>  posted, held and suspect of a slot
--   l<slot>, l               limit of the last Ask granted, by slot or for a rolling account
--   e<slot>                  when a slot of the calendar is out of every window
--   a, P, H, S               of a rolling window: where it begins, and its running totals
--   t, w, b                  posted ever, worst overshoot, first use
--   g                        its age is asked for
--   u                        when the last slot is out of every window; 0: never
--
-- Lua's numbers are doubles. What is added goes through HINCRBY, in 64 bits; what is compared is
-- exact below 2^53, and above that still on the right side of any limit below it.

local DAY = 86400000
local SLOTS = 128 -- of one account
local TOTALS = {p = 'P', h = 'H', s = 'S'}
local base -- of all keys of this life

local function account_key(name)
  return base .. 'a:' .. name
end

local function number(text)
  return tonumber(text) or 0
end

-- Every slot of an account: {p = "3", h = "0", s = "0"} by its beginning.
local function slots_of(account)
  local slots, fields = {}, redis.call('HGETALL', account)
  for i = 1, #fields, 2 do
    local kind, begun = string.match(fields[i], '^([phse])(%d+)$')
    if kind then
      local slot = tonumber(begun)
      slots[slot] = slots[slot] or {}
      slots[slot][kind] = fields[i + 1]
    end
  end
  return slots
end

-- Posted, held and suspect of all slots from `since` on, and the first that counts anything.
local function sums_from(account, since)
  local p, h, s, oldest = 0, 0, 0, false
  for slot, counts in pairs(slots_of(account)) do
    if slot >= since then
      p, h, s = p + number(counts.p), h + number(counts.h), s + number(counts.s)
      if number(counts.p) + number(counts.h) + number(counts.s) > 0 then
        oldest = math.min(oldest or slot, slot)
      end
    end
  end
  return p, h, s, oldest
end

-- Of too many slots, those that are out of the window and hold nothing are dropped, oldest first.
local function drop(account, slots, since)
  local out, count = {}, 0
  for slot, counts in pairs(slots) do
    count = count + 1
    if slot < since and number(counts.h) == 0 and number(counts.s) == 0 then
      out[#out + 1] = slot
    end
  end
  if count <= SLOTS then return end
  table.sort(out)
  for i = 1, math.min(#out, count - SLOTS / 2) do
    redis.call('HDEL', account, 'p' .. out[i], 'h' .. out[i], 's' .. out[i])
  end
end

local function negated(count)
  return string.sub(count, 1, 1) == '-' and string.sub(count, 2) or '-' .. count
end

-- Moves a rolling window on to `since`: what drops out is subtracted once. Without a `head` the
-- totals begin here.
local function advance(account, head, since)
  local slots = slots_of(account)
  for slot, counts in pairs(slots) do
    local enters = not head and slot >= since
    local leaves = head and slot >= head and slot < since
    for kind, total in pairs(TOTALS) do
      local count = counts[kind]
      if count and count ~= '0' and (enters or leaves) then
        redis.call('HINCRBY', account, total, leaves and negated(count) or count)
      end
    end
  end
  redis.call('HSET', account, 'a', since)
  drop(account, slots, since)
end

-- First use, horizon, limit, posted, held, suspect, head: as text, nil where there is none.
local function look(account, slot, since, step)
  if step == 0 then
    return redis.call('HMGET', account,
      'b', 'u', 'l' .. slot, 'p' .. slot, 'h' .. slot, 's' .. slot)
  end
  local got = redis.call('HMGET', account, 'b', 'u', 'l', 'P', 'H', 'S', 'a')
  local head = tonumber(got[7])
  if head == since then return got end
  if head and head < since then
    advance(account, head, since)
    return redis.call('HMGET', account, 'b', 'u', 'l', 'P', 'H', 'S', 'a')
  end
  got[4], got[5], got[6] = sums_from(account, since)
  return got
end

local function level(got)
  return number(got[4]) + number(got[5]) + number(got[6])
end

-- Adds to a slot, and to the running total where the window holds it. A slot that has been
-- forgotten takes nothing: it is out of every window.
local function add(account, kind, slot, amount)
  if amount == 0 then return end -- also -0, which Redis does not take for a number
  redis.call('HINCRBY', account, kind .. slot, amount)
  local head = redis.call('HGET', account, 'a')
  if head and slot >= tonumber(head) then
    redis.call('HINCRBY', account, TOTALS[kind], amount)
  end
end

local function is_kept(account, slot)
  return redis.call('HEXISTS', account, 'h' .. slot) == 1
end

-- Keeps the account until a day after its last slot is out of every window, and drops the slots
-- of a calendar for which that day has passed.
local function keep(account, slot, step, ends, at)
  redis.call('HSET', account, 'u', ends)
  if ends == 0 then
    redis.call('PERSIST', account)
    return
  end
  redis.call('PEXPIRE', account, math.max(1, ends + DAY - at))
  if step > 0 then return end
  redis.call('HSET', account, 'e' .. slot, ends)
  for begun, counts in pairs(slots_of(account)) do
    if counts.e and tonumber(counts.e) + DAY < at then
      redis.call('HDEL', account,
        'p' .. begun, 'h' .. begun, 's' .. begun, 'l' .. begun, 'e' .. begun)
    end
  end
end

-- A claim takes what it asked for. `got` is what was seen of the account just before.
local function hold(account, claim, got, at)
  local _, amount, limit, slot, since, step, ends, age = unpack(claim)
  redis.call('HINCRBY', account, 'h' .. slot, amount)
  if step > 0 then
    local head = tonumber(got[7])
    if not head then
      advance(account, nil, since)
    elseif slot >= head then
      redis.call('HINCRBY', account, 'H', amount)
    end
  end
  if not got[1] then redis.call('HSET', account, 'b', at) end
  if age and not got[2] then redis.call('HSET', account, 'g', 1) end
  local known = tonumber(got[2])
  if not known or known ~= 0 and (ends == 0 or ends > known) then
    keep(account, slot, step, ends, at)
  end
  local field = step == 0 and 'l' .. slot or 'l'
  if limit and tonumber(got[3]) ~= limit then
    redis.call('HSET', account, field, limit)
  elseif not limit and got[3] then
    redis.call('HDEL', account, field)
  end
end
