-- The steps of a store, each atomic: an operation in, an answer out (see wire.py for both).

local steps = {}
local LOST, UNEVEN = 'L', 'N'

local function is_uneven(record, amounts)
  return #amounts * WIDTH + HEAD ~= #record
end

-- Posted, held and suspect as text, exact in 64 bits where they come from Redis itself.
local function counts(got)
  return {got[4] or 0, got[5] or 0, got[6] or 0}
end

local function denied(why, index, limit, account, got, claim)
  local oldest = false
  if claim.step > 0 then oldest = select(4, sums_from(account, claim.since)) end
  return {why, index - 1, limit or false, counts(got), oldest}
end

-- The first claim that does not fit; else what was seen of all accounts.
local function judge_claims(claims, at)
  local seen = {}
  for i, claim in ipairs(claims) do
    local name, amount, limit, slot, since, step, _, age, spare = unpack(claim)
    local account = account_key(name)
    local got = look(account, slot, since, step)
    local why = age and got[1] and at - tonumber(got[1]) > age and 'age'
      or limit and level(got) + amount + spare > limit and 'limit'
    if why then
      return denied(why, i, limit, account, got, {since = since, step = step})
    end
    seen[i] = got
  end
  return nil, seen
end

-- The first rate without room, as {"rate", index, wait in us or false}; else what to store.
local function judge_rates(rates, at)
  local now, nexts = at * 1000, {}
  for i, rate in ipairs(rates) do
    local key, gap, period, fits = unpack(rate)
    if not fits then return {'rate', i - 1, false} end
    local stored = number(redis.call('GET', base .. 'g:' .. key))
    local used = math.min(math.max(stored, now), now + period)
    local next = used + gap
    if next > now + period then return {'rate', i - 1, next - now - period} end
    nexts[key] = next
  end
  return nil, nexts
end

function steps.reserve(ask, batch)
  if not batch.is_whole then return LOST end
  local _, key, at, _, claims, rates = unpack(ask)
  if is_known(key) then return 0 end
  local denial, seen = judge_claims(claims, at)
  if denial then return denial end
  local denial, nexts = judge_rates(rates, at)
  if denial then return denial end
  for rate, next in pairs(nexts) do
    redis.call('SET', base .. 'g:' .. rate, next, 'PX', DAY + math.ceil(next / 1000) - at)
  end
  reserve_all(ask, seen, batch.origin)
  return 0
end

function steps.restore(ask, batch)
  local _, key, _, _, claims = unpack(ask)
  if is_known(key) then return 0 end
  local seen = {}
  for i, claim in ipairs(claims) do
    local name, _, _, slot, since, step = unpack(claim)
    seen[i] = look(account_key(name), slot, since, step)
  end
  reserve_all(ask, seen, batch.origin)
  return 0
end

-- Whether a record is to be made smaller for the first time, and by how much at the most; nil: it
-- was before. The same step may come a second time.
local function lessened(record, amounts)
  if #amounts == 0 or math.min(unpack(amounts)) >= 0 then return amounts end
  if record[HEAD] == 1 then return nil end
  record[HEAD] = 1
  for i = 1, #amounts do
    amounts[i] = math.max(amounts[i], -record[HEAD + i * WIDTH])
  end
  return amounts
end

function steps.extend(op, batch)
  if not batch.is_whole then return LOST end
  local _, key, amounts, at = unpack(op)
  local record = open(key)
  if not record then return {'age', 0, false, {0, 0, 0}, false} end
  if is_uneven(record, amounts) then return UNEVEN end
  renew(key, record, at)
  amounts = lessened(record, amounts)
  if not amounts then return 0 end
  local denial
  each(record, function(i, account, slot, since, step)
    if denial or amounts[i] < 0 then return end
    local from = since_at(slot, since, step, at)
    local got = look(account, slot, from, step)
    local limit = tonumber(got[3])
    if limit and level(got) + amounts[i] > limit then
      denial = denied('limit', i, limit, account, got, {since = from, step = step})
    end
  end)
  if denial then return denial end
  each(record, function(i, account, slot)
    if is_kept(account, slot) then add(account, 'h', slot, amounts[i]) end
    local place = HEAD + i * WIDTH
    record[place] = record[place] + amounts[i]
  end)
  write(key, record, at)
  return 0
end

function steps.settle(op)
  local _, key, amounts, at = unpack(op)
  local record = open(key)
  if not record then return 0 end
  if is_uneven(record, amounts) then return UNEVEN end
  local kind = unlease(key)
  local after = {}
  each(record, function(i, account, slot, since, step, ends, held)
    local kept = is_kept(account, slot)
    if kept then
      add(account, kind, slot, -held)
      add(account, 'p', slot, amounts[i])
    end
    if amounts[i] ~= 0 then
      if redis.call('HINCRBY', account, 't', amounts[i]) == amounts[i] and not kept then
        redis.call('PEXPIRE', account, DAY)
      end
    end
    local got = look(account, slot, since_at(slot, since, step, at), step)
    local limit = tonumber(got[3])
    local over = limit and level(got) - limit or 0
    if over > number(redis.call('HGET', account, 'w')) then
      redis.call('HSET', account, 'w', over)
    end
    after[i] = {limit or false, counts(got)}
    if ends == 0 and step == 0 then let_go(account, slot) end
  end)
  remember(key)
  return {after}
end

function steps.void(op)
  local _, key = unpack(op)
  local record = open(key)
  if record then free(key, record) end
  remember(key)
  return record and 1 or 0
end

-- A reservation whose answer nobody got: as if it had not been asked for. Only the one that this
-- batch made; the key may have been granted before.
function steps.undo(op)
  local _, key, origin = unpack(op)
  local record = open(key)
  if record and record[1] == origin then
    free(key, record)
    redis.call('DEL', record_key(key))
  end
  return 0
end

function steps.renew(op)
  local _, keys, at = unpack(op)
  for _, key in ipairs(keys) do
    local record = open(key)
    if record then renew(key, record, at) end
  end
  return 0
end

function steps.sweep(op)
  local _, at, most = unpack(op)
  local late = redis.call(
    'ZRANGEBYSCORE', leases_key(), '-inf', at, 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #late, 2 do
    local key = late[i]
    local record = open(key)
    if record then
      suspect(key, record, tonumber(late[i + 1]), at)
    else
      redis.call('ZREM', leases_key(), key)
    end
  end
  return #late / 2
end

-- Looks at `most` reservations from a place on. Answers how many it turned, and how many stay
-- before the next place; false when there are no more.
function steps.abandon(op)
  local _, owner, at, first, most = unpack(op)
  local keys = redis.call('ZRANGE', leases_key(), first, first + most - 1, 'WITHSCORES')
  local turned = 0
  for i = 1, #keys, 2 do
    local record = open(keys[i])
    if record and record[2] == owner then
      suspect(keys[i], record, tonumber(keys[i + 1]), at)
      turned = turned + 1
    end
  end
  return {turned, #keys == 2 * most and first + most - turned}
end

-- The first `most` suspects: key, note, and what each of their claims holds.
function steps.suspects(op)
  local found = {}
  for _, key in ipairs(redis.call('ZRANGE', suspects_key(), 0, op[2] - 1)) do
    local record, amounts = open(key), {}
    if record then
      each(record, function(i, _, _, _, _, _, held) amounts[i] = held end)
      found[#found + 1] = {key, record[5], amounts}
    else
      redis.call('ZREM', suspects_key(), key)
    end
  end
  return {found}
end

function steps.standings(op)
  local found = {}
  for i, claim in ipairs(op[2]) do
    local account, slot, since, step = account_key(claim[1]), claim[4], claim[5], claim[6]
    local got
    if step == 0 then
      got = redis.call('HMGET', account, 'p' .. slot, 'h' .. slot, 's' .. slot)
    elseif tonumber(redis.call('HGET', account, 'a')) == since then
      got = redis.call('HMGET', account, 'P', 'H', 'S')
    else
      got = {sums_from(account, since)}
    end
    local rest = redis.call('HMGET', account, 't', 'w', 'b')
    found[i] = {got[1] or 0, got[2] or 0, got[3] or 0, rest[1] or 0, rest[2] or 0, rest[3]}
  end
  return {found}
end
