"""The app: runs in the browser, and a model to talk to beside them.

- `serving`: the address; `guard`: who may use it; `site`: its pages; `pages`: their templates.
- `opening`: a run's folder, and what is wrong with it; `answers`: its answers, filtered; `rows`: the list of them;
  `figures`: rates of runs side by side.
- `resident`: the model in memory and its one thread; `material`: models, directions and dictionaries of a run.
- `talking`, `talk`: live chats, told token by token; `arms`: what their controls say; `keeping`: answers into the run.
- `looking`: what tokens are looked at by; `colouring`: an answer's tokens; `meaning`: contexts, what is promoted,
  what is like it; `lenses`: their routes; `scoring`: verdicts on live answers; `abreast`: runs beside each other.
"""
