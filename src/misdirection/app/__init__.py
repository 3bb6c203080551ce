"""The app: runs in the browser, and a model to talk to beside them.

- `serving`: the address; `guard`: who may use it; `site`: its pages; `pages`: their templates.
- `opening`: a run's folder, and what is wrong with it; `answers`: its answers, filtered; `rows`: the list of them;
  `figures`: rates of runs side by side.
"""
