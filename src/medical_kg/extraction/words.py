"""Words that are names somewhere and ordinary English everywhere else.

Function words, heads without a modifier ("disease", "drug": too general to say anything), and everyday words that some
vocabulary lists as a name. Written from a reading of English and of vocabularies, not from annotated texts.
"""

from __future__ import annotations

FUNCTION = frozenset(
    (  # noqa: SIM905  # words read best as words
        "a about above after again against all also although among an and another any are as at be because become been "
        "before being below between both but by can could did do does doing down during each either else etc ever every "
        "few for from further get had has have having he her here hers him his how however i if in into is it its itself "
        "just let may me men might mine more most much must my neither no nor not now of off often on once one only onto "
        "or other our out over own per quite rather same she should since so some still such ten than that the their "
        "them then there therefore these they this those though through thus to together too two under until unless up "
        "upon us use used using versus very via was we well were what when where whereas whether which while who whom "
        "whose why will with within without would yet you your"
    ).split()
)
GENERIC = frozenset(
    (  # noqa: SIM905  # as above
        "abnormality acid acute affected agent agonist alkali alloy amide amine anion antagonist anomaly antigen "
        "base carrier cation cause characteristic chemical chronic combination complication composition compound condition "
        "congenital course defect deficiency deformity derivative diagnosis disability disease disorder drug dye effect "
        "element ester ether extract factor familial finding gene genetic hereditary illness impairment infirmity injury "
        "inhibitor inherited ion isomer lesion ligand manifestation material metabolite metal mineral mixture "
        "molecule onset outcome particle patient pharmaceutical phenotype placebo polymer powder primary process product "
        "protein radical reaction reagent recurrence salt secondary severity sickness sign solid solution solvent status "
        "substance substrate symptom syndrome toxin trait transmission variant wound"
    ).split()
)
EVERYDAY = frozenset(
    (  # noqa: SIM905  # as above
        "act aim air alarm arm art ash bag band bar base bat bed bell best big bite blade body book box boy burn bus can "
        "cap car card cat cell chair child chip clock cold corpse cow cup cut day death deer design dish dog dose dress "
        "drink dust ear edge egg emergency end eye face fall fast fat fed field fire fish fit flag flit food foot form "
        "gap gas girl glass goal gun hand hat head heart hip hole home hook hops horse host hour house ice imam impact "
        "jet job joint key knee lamb lamp land large law lead leaf left leg light line link lip list live man map march "
        "mark mask mass match mate mean mirage mole mono month mouse name neck net nose oil pack page pale pan part past "
        "path peak pen pest pet pig pile pin pipe pit plan plate play plus pool port post race range rank rat rate raw "
        "read red rest rib rich right ring rise risk road rock rod role root rope rose row run sac safe sand scale seal "
        "seat seed self set sex shape sheep ship show side site size skin sky smoke snow soap soft soil son song sound "
        "spar spin spot stage stale star start state steam steel step stone stop sturdy sun swing tag tail tale tank tap "
        "task team test text tie time tip tissue tool top toy track trail train trap tree trial trip tube turn type unit "
        "walk wall water wave way week weight wild wind wing wire word work year zone"
    ).split()
)
TOO_COMMON = FUNCTION | GENERIC | EVERYDAY
