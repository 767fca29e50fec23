-- Lives: a store is as good as what it remembers, so it says since when it does.
--
--   life      id: random, part of all other keys; n:<node>: has told its ledger; told: how many
--   y:<teller>  what it carried last, by account and slot
--   c:<client>  the connection that may speak for a client, and the last batch that it sent
--
-- Without `life` there is nothing to go by: a new one begins, and nothing is admitted in it until
-- enough nodes have told. So it does when a client finds that what it was told is written is not:
-- the server went back in time. Then all counts are wrong, and the new id leaves them behind.

local MONTH = 32 * DAY
local STAGED = 600000
local LONGEST = 800 * DAY

local function client_key(batch)
  return base .. 'c:' .. batch.client
end

local function begin_life(fresh)
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'id', fresh, 'told', 0)
  return fresh
end

local function enter(id)
  base = string.sub(KEYS[1], 1, -5) .. id .. ':'
end

-- A client has connected. Answers the last of its batches that was done.
function steps.hello(op, batch)
  local _, acknowledged, fresh = unpack(op)
  local known = redis.call('GET', client_key(batch))
  local last = known and tonumber(string.match(known, ':(%d+)$')) or 0
  if batch.life == batch.id and last < acknowledged then
    batch.id = begin_life(fresh)
    batch.told = 0
    enter(batch.id)
    last = 0
  end
  redis.call('SET', client_key(batch), batch.connection .. ':' .. last, 'PX', MONTH)
  return last
end

local function staged_key(token)
  return base .. 'x:' .. token
end

-- A part of what a node tells; it counts only when all of it is there.
function steps.stage(op)
  local _, token, carried, done = unpack(op)
  redis.call('RPUSH', staged_key(token), cmsgpack.pack({carried, done}))
  redis.call('PEXPIRE', staged_key(token), STAGED)
  return 0
end

local function carry(row, posted, at)
  local name, slot, _, born = unpack(row)
  local account = account_key(name)
  local known = redis.call('HMGET', account, 'b', 'a', 'u')
  redis.call('HINCRBY', account, 'p' .. slot, posted)
  redis.call('HINCRBY', account, 't', posted)
  if known[2] and slot >= tonumber(known[2]) then
    redis.call('HINCRBY', account, 'P', posted)
  end
  if born and (not known[1] or tonumber(known[1]) > born) then
    redis.call('HSET', account, 'b', born, 'g', 1)
  end
  if not known[3] and slot > 0 then
    redis.call('PEXPIRE', account, math.max(1, slot + LONGEST - at))
  end
end

-- What a teller says replaces what it said before of the same account and slot.
function steps.carry(op)
  local _, teller, rows, at = unpack(op)
  local told = base .. 'y:' .. teller
  for _, row in ipairs(rows) do
    local place = row[1] .. ':' .. row[2]
    local before = number(redis.call('HGET', told, place))
    redis.call('HSET', told, place, row[3])
    carry(row, row[3] - before, at)
  end
  redis.call('PEXPIRE', told, DAY)
  return 0
end

function steps.rebuild(op, batch)
  local _, node, token, parts, at = unpack(op)
  local staged = redis.call('LRANGE', staged_key(token), 0, -1)
  redis.call('DEL', staged_key(token))
  if redis.call('HEXISTS', KEYS[1], 'n:' .. node) == 1 then return 0 end
  if #staged ~= parts then return LOST end
  for _, packed in ipairs(staged) do
    local carried, done = unpack(cmsgpack.unpack(packed))
    for _, row in ipairs(carried) do carry(row, row[3], at) end
    for _, key in ipairs(done) do
      local record = open(key)
      if record then free(key, record) end
      remember(key)
    end
  end
  redis.call('HSET', KEYS[1], 'n:' .. node, 1)
  batch.told = redis.call('HINCRBY', KEYS[1], 'told', 1)
  return 0
end

function steps.look(op)
  return 0
end

-- One batch: {client, connection, number, life, nodes, fresh, operations}. Answers the life, how
-- many have told in it, and an answer for each operation; none where nothing was done.
local sent = cmsgpack.unpack(ARGV[1])
local batch = {
  client = sent[1], connection = sent[2], number = sent[3], life = sent[4], nodes = sent[5],
}
local life = redis.call('HMGET', KEYS[1], 'id', 'told')
batch.id, batch.told = life[1] or begin_life(sent[6]), number(life[2])
enter(batch.id)
local operations = sent[7]
if operations[1] and operations[1][1] == 'hello' then
  local last = steps.hello(operations[1], batch)
  return cmsgpack.pack({batch.id, batch.told, {last}})
end
local speaks = redis.call('GET', client_key(batch))
if not speaks or string.match(speaks, '^(%d+):') ~= tostring(batch.connection) then
  return cmsgpack.pack({batch.id, batch.told, false})
end
batch.origin = batch.client .. ':' .. batch.number
redis.call('SET', client_key(batch), batch.connection .. ':' .. batch.number, 'PX', MONTH)
local answers = {}
for i, operation in ipairs(operations) do
  batch.is_whole = batch.told >= batch.nodes
  answers[i] = steps[operation[1]](operation, batch)
end
return cmsgpack.pack({batch.id, batch.told, answers})
