-- Reservations: one string each, that says whose batch made it, its lease and what it holds.
--
--   r:<key>  a packed record while it is open (held or suspect), "d" for a day when it is done
--   leases   when each held one becomes suspect; an open one that is not in it is suspect
--   suspects since when each of these is
--
-- A record: origin, owner, lease_ms, end of the lease of one that is suspect, note, end of all its
-- windows (0: never), whether it was made smaller, then for each claim: account, slot, since, step, end of its slot, held.

local HEAD, LAST, WIDTH = 7, 6, 6
local DONE = 'd'

local function record_key(key)
  return base .. 'r:' .. key
end

local function leases_key()
  return base .. 'leases'
end

local function suspects_key()
  return base .. 'suspects'
end

-- No longer under way; the kind of what it held.
local function unlease(key)
  if redis.call('ZREM', leases_key(), key) == 1 then return 'h' end
  redis.call('ZREM', suspects_key(), key)
  return 's'
end

-- The open reservation of a key: nil where there is none.
local function open(key)
  local packed = redis.call('GET', record_key(key))
  if not packed or packed == DONE then return nil end
  return cmsgpack.unpack(packed)
end

local function is_known(key)
  return redis.call('EXISTS', record_key(key)) == 1
end

local function remember(key)
  redis.call('SET', record_key(key), DONE, 'PX', DAY)
end

local function lease(key, ends)
  local known = redis.call('ZSCORE', leases_key(), key)
  if not known or tonumber(known) < ends then
    redis.call('ZADD', leases_key(), ends, key)
  end
end

-- A record lives until a day after the last of its windows.
local function write(key, record, at)
  local ends = record[LAST]
  if ends == 0 then
    redis.call('SET', record_key(key), cmsgpack.pack(record))
  else
    redis.call('SET', record_key(key), cmsgpack.pack(record), 'PX', math.max(1, ends + DAY - at))
  end
end

-- Holds all claims of an ask. `seen` are the accounts as they were just before.
local function reserve_all(ask, seen, origin)
  local _, key, at, lease_ms, claims, _, owner, note = unpack(ask)
  local record, last = {origin, owner, lease_ms, 0, note, 0, 0}, at + lease_ms
  for i, claim in ipairs(claims) do
    local account = account_key(claim[1])
    hold(account, claim, seen[i], at)
    local first = #record
    record[first + 1], record[first + 2], record[first + 3] = claim[1], claim[4], claim[5]
    record[first + 4], record[first + 5], record[first + 6] = claim[6], claim[7], claim[2]
    last = last and claim[7] ~= 0 and math.max(last, claim[7])
  end
  record[LAST] = last or 0
  write(key, record, at)
  redis.call('ZADD', leases_key(), at + lease_ms, key)
end

-- Gives `visit` each claim of a record: its place, account, slot, since, step, ends, held.
local function each(record, visit)
  for i = 1, (#record - HEAD) / WIDTH do
    local first = HEAD + (i - 1) * WIDTH
    visit(i, account_key(record[first + 1]), unpack(record, first + 2, first + WIDTH))
  end
end

local function move(record, from, to)
  each(record, function(_, account, slot, _, _, _, held)
    if held ~= 0 and is_kept(account, slot) then
      add(account, from, slot, -held)
      add(account, to, slot, held)
    end
  end)
end

-- An account that never ends, that posted nothing and holds nothing (calls at once) goes a day
-- later; one whose age is asked for stays.
local function let_go(account, slot)
  local got = redis.call('HMGET', account, 't', 'g', 'h' .. slot, 's' .. slot)
  if number(got[1]) == 0 and not got[2] and number(got[3]) == 0 and number(got[4]) == 0 then
    redis.call('HDEL', account, 'u')
    redis.call('PEXPIRE', account, DAY)
  end
end

-- Takes what a record holds out of its accounts.
local function free(key, record)
  local kind = unlease(key)
  each(record, function(_, account, slot, _, step, ends, held)
    if is_kept(account, slot) then
      add(account, kind, slot, -held)
      if ends == 0 and step == 0 then let_go(account, slot) end
    end
  end)
end

-- Under way, whatever it was: held again, and for a whole lease from `at`.
local function renew(key, record, at)
  local ends = at + record[3]
  if not redis.call('ZSCORE', leases_key(), key) then
    move(record, 's', 'h')
    redis.call('ZREM', suspects_key(), key)
    ends = math.max(ends, record[4])
  end
  lease(key, ends)
end

local function suspect(key, record, ends, at)
  redis.call('ZREM', leases_key(), key)
  redis.call('ZADD', suspects_key(), at, key)
  move(record, 'h', 's')
  record[4] = ends
  write(key, record, at)
end

-- Where the window of a claim begins later on.
local function since_at(slot, since, step, at)
  if step == 0 then return since end
  return since + math.max(0, at - at % step - slot)
end
