/* Live numbers on the overview, and the box that chooses a whole page on Attention. Everything else, and these
   pages as well, work without it.

     data-live="queue.length"    text: that value of overview.json (or of the row, within one of data-live-rows)
     data-live-show, -hide       there while the value is true, or is not: as a section of a template
     data-live-warn              class warn while it is true
     data-live-rows="workers"    rows of this list, each made of <template id="rows-workers">
     data-live-href="member?account=" data-live-url="account_url"   a link
     data-live-class="decision"  class badge, and this one */
(function () {
  'use strict';

  var EVERY_MS = 2000;

  function value(of, path) {
    return path.split('.').reduce(function (at, name) {
      return at === null || at === undefined ? undefined : at[name];
    }, of);
  }

  function text(of, path) {
    var found = value(of, path);
    return found === undefined || found === null ? '' : String(found);
  }

  /* As Mustache has it. */
  function isTrue(found) {
    return Array.isArray(found) ? found.length > 0 : Boolean(found);
  }

  function each(within, selector, act) {
    within.querySelectorAll(selector).forEach(act);
  }

  /* Only what has changed is written: a screen reader would say the rest again, and a selection would be lost. */
  function write(element, words) {
    if (element.textContent !== words) {
      element.textContent = words;
    }
  }

  function fill(within, data) {
    each(within, '[data-live]', function (element) {
      if (within === document && element.closest('[data-live-rows]')) {
        return;
      }
      write(element, text(data, element.dataset.live));
      if (element.dataset.liveHref) {
        element.setAttribute('href', element.dataset.liveHref + text(data, element.dataset.liveUrl));
      }
      if (element.dataset.liveClass) {
        element.className = 'badge ' + text(data, element.dataset.liveClass);
      }
    });
  }

  function fillRows(body, rows) {
    var template = document.getElementById('rows-' + body.dataset.liveRows);
    if (!template || !Array.isArray(rows) || (rows.length === 0 && body.querySelector('.none'))) {
      return;
    }
    /* The rows that are there are used again, so that the focus stays where it is. Those that came with the page
       do not say what is in them. */
    if (!body.dataset.liveMade || body.children.length !== rows.length) {
      body.replaceChildren.apply(body, rows.map(function () {
        return template.content.cloneNode(true);
      }));
      body.dataset.liveMade = 'yes';
    }
    rows.forEach(function (row, index) {
      fill(body.children[index], row);
    });
  }

  function show(data) {
    fill(document, data);
    each(document, '[data-live-show]', function (element) {
      element.hidden = !isTrue(value(data, element.dataset.liveShow));
    });
    each(document, '[data-live-hide]', function (element) {
      element.hidden = isTrue(value(data, element.dataset.liveHide));
    });
    each(document, '[data-live-warn]', function (element) {
      element.classList.toggle('warn', isTrue(value(data, element.dataset.liveWarn)));
    });
    each(document, '[data-live-rows]', function (body) {
      fillRows(body, value(data, body.dataset.liveRows));
    });
  }

  /* Says only what changes: that the numbers are live, or that they are not and since when. */
  function tell(state, words, isAway) {
    write(state, words);
    state.parentElement.classList.toggle('away', isAway);
  }

  function startLive(from) {
    var state = document.querySelector('[data-live-state]');
    var timer = null, asking = false, newest = state.textContent.replace(/^As of /, '');

    function plan() {
      clearTimeout(timer);
      if (!document.hidden) {
        timer = setTimeout(ask, EVERY_MS);
      }
    }

    function ask() {
      if (asking || document.hidden) {
        return;
      }
      asking = true;
      fetch(from, { credentials: 'same-origin', cache: 'no-store', redirect: 'error' }).then(function (answer) {
        if (answer.status === 401 || answer.status === 403) {
          location.reload(); // signed out meanwhile: the page asks for a name again
        }
        if (!answer.ok) {
          throw new Error(String(answer.status));
        }
        return answer.json();
      }).then(function (data) {
        show(data);
        newest = text(data, 'now_at');
        tell(state, 'Live', false);
      }).catch(function () {
        tell(state, 'Tollgate does not answer. These numbers are of ' + newest, true);
      }).then(function () {
        asking = false;
        plan();
      });
    }

    document.addEventListener('visibilitychange', function () {
      clearTimeout(timer);
      if (!document.hidden) {
        ask();
      }
    });
    plan();
  }

  function startPicking(all) {
    var boxes = Array.from(document.querySelectorAll('[data-pick]'));

    function look() {
      var picked = boxes.filter(function (box) {
        return box.checked;
      }).length;
      all.checked = boxes.length > 0 && picked === boxes.length;
      all.indeterminate = picked > 0 && picked < boxes.length;
    }

    all.hidden = false;
    all.addEventListener('change', function () {
      boxes.forEach(function (box) {
        box.checked = all.checked;
      });
    });
    boxes.forEach(function (box) {
      box.addEventListener('change', look);
    });
    look();
  }

  var live = document.querySelector('[data-live-from]');
  if (live) {
    startLive(live.dataset.liveFrom);
  }
  var all = document.querySelector('[data-pick-all]');
  if (all) {
    startPicking(all);
  }
}());
