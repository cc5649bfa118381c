-- What operators did, whoever and by whatever means: one entry for each call that changed something.
--   STREAM {ns}:changes  by, what, about, note, count (of bookings)
-- (That credit moved stands in the ledgers as well, and what became of a booking in its `mended`.)

local changes = {}

do

local CHANGES_KEPT = 10000

-- So many bytes of each are kept.
local MOST = { by = 100, what = 200, about = 320, note = 500 }

-- change: by, what (as people say it), and where there are such: about, note, count
function changes.note(ns, change)
  local flat = {}
  for _, name in ipairs({ 'by', 'what', 'about', 'note' }) do
    flat[#flat + 1] = name
    flat[#flat + 1] = json.cut(change[name] or '', MOST[name])
  end
  if change.count then
    flat[#flat + 1] = 'count'
    flat[#flat + 1] = integer(change.count)
  end
  redis.call('XADD', ns .. 'changes', 'MAXLEN', '~', CHANGES_KEPT, '*', unpack(flat))
end

-- The names of the first few of many.
function changes.some(names)
  return table.concat(names, ' ', 1, math.min(#names, 5)) .. (#names > 5 and ' …' or '')
end

end
